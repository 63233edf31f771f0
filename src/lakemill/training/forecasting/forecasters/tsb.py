"""Teunter, Syntetos and Babai: the chance of demand decays while there is none.

References
----------
Teunter, Syntetos, Babai (2011), European Journal of Operational Research 214(3).
"""

from __future__ import annotations

from typing import Any

from statsforecast.models import TSB

from lakemill.training.forecasting.forecasters._statsforecast import StatsForecaster


class TSBForecaster(StatsForecaster):
    """Teunter, Syntetos and Babai: the chance of demand decays while there is none."""

    kind = "tsb"

    def model(self, season: int) -> Any:  # noqa: ARG002
        """Return the unfitted model."""
        return TSB(alpha_d=0.1, alpha_p=0.1)
