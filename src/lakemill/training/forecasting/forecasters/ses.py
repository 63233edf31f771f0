"""Simple exponential smoothing with additive errors: a level, no trend, no season.

References
----------
Hyndman, Koehler, Ord, Snyder (2008), Forecasting with Exponential Smoothing, chapter 2: ETS(A,N,N).
"""

from __future__ import annotations

from typing import Any

from statsforecast.models import AutoETS

from lakemill.training.forecasting.forecasters._statsforecast import StatsForecaster


class SESForecaster(StatsForecaster):
    """Simple exponential smoothing with additive errors: a level, no trend, no season."""

    kind = "ses"
    min_observations = 6

    def model(self, season: int) -> Any:
        """Return the unfitted model."""
        return AutoETS(season_length=season, model="ANN")
