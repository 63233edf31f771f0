"""The mean of all that was seen.

References
----------
Hyndman, Athanasopoulos (2021), Forecasting: Principles and Practice, section 5.2.
"""

from __future__ import annotations

from typing import Any

from statsforecast.models import HistoricAverage

from lakemill.training.forecasting.forecasters._statsforecast import StatsForecaster


class HistoricMeanForecaster(StatsForecaster):
    """The mean of all that was seen."""

    kind = "historic_mean"

    def model(self, season: int) -> Any:  # noqa: ARG002
        """Return the unfitted model."""
        return HistoricAverage()
