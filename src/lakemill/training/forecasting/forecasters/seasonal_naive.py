"""The last season again.

References
----------
Hyndman, Athanasopoulos (2021), Forecasting: Principles and Practice, section 5.2.
"""

from __future__ import annotations

from typing import Any

from statsforecast.models import SeasonalNaive

from lakemill.training.forecasting.forecasters._statsforecast import StatsForecaster


class SeasonalNaiveForecaster(StatsForecaster):
    """The last season again."""

    kind = "seasonal_naive"
    min_observations = 6

    def model(self, season: int) -> Any:
        """Return the unfitted model."""
        return SeasonalNaive(season_length=season)
