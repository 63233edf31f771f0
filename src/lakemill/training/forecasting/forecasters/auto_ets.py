"""Exponential smoothing, its form chosen by AICc.

References
----------
Hyndman, Koehler, Snyder, Grose (2002), International Journal of Forecasting 18(3).
"""

from __future__ import annotations

from typing import Any

from statsforecast.models import AutoETS

from lakemill.training.forecasting.forecasters._statsforecast import StatsForecaster
from lakemill.training.forecasting.forecasters.base import ERRATIC, SMOOTH


class AutoETSForecaster(StatsForecaster):
    """Exponential smoothing, its form chosen by AICc."""

    kind = "auto_ets"
    classes = frozenset({SMOOTH, ERRATIC})
    min_observations = 60

    def model(self, season: int) -> Any:
        """Return the unfitted model."""
        return AutoETS(season_length=season)
