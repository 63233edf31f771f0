"""The Theta method, its form chosen by error.

References
----------
Fiorucci, Pellegrini, Louzada, Petropoulos, Koehler (2016), International Journal of Forecasting 32(4).
"""

from __future__ import annotations

from typing import Any

from statsforecast.models import AutoTheta

from lakemill.training.forecasting.forecasters._statsforecast import StatsForecaster
from lakemill.training.forecasting.forecasters.base import ERRATIC, SMOOTH


class AutoThetaForecaster(StatsForecaster):
    """The Theta method, its form chosen by error."""

    kind = "auto_theta"
    classes = frozenset({SMOOTH, ERRATIC})
    min_observations = 60

    def model(self, season: int) -> Any:
        """Return the unfitted model."""
        return AutoTheta(season_length=season)
