"""Croston's method with the bias correction of Syntetos and Boylan.

References
----------
Syntetos, Boylan (2005), International Journal of Forecasting 21(2).
"""

from __future__ import annotations

from typing import Any

from statsforecast.models import CrostonSBA

from lakemill.training.forecasting.forecasters._statsforecast import StatsForecaster


class CrostonSBAForecaster(StatsForecaster):
    """Croston's method with the bias correction of Syntetos and Boylan."""

    kind = "croston_sba"
    min_observations = 6

    def model(self, season: int) -> Any:  # noqa: ARG002
        """Return the unfitted model."""
        return CrostonSBA()
