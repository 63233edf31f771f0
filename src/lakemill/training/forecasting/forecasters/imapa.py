"""Forecasts of temporally aggregated demand, averaged.

References
----------
Petropoulos, Kourentzes (2015), Journal of the Operational Research Society 66(6).
"""

from __future__ import annotations

from typing import Any

from statsforecast.models import IMAPA

from lakemill.training.forecasting.forecasters._statsforecast import StatsForecaster


class IMAPAForecaster(StatsForecaster):
    """Forecasts of temporally aggregated demand, averaged."""

    kind = "imapa"
    min_observations = 6

    def model(self, season: int) -> Any:  # noqa: ARG002
        """Return the unfitted model."""
        return IMAPA()
