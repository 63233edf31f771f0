"""Forecasters of single series: a file each."""

from lakemill.core.plugins import Slot
from lakemill.training.forecasting.forecasters.base import Fitted, Forecaster, Vector

FORECASTERS: Slot[Forecaster] = Slot("lakemill.training.forecasting.forecasters", Forecaster)  # type: ignore[type-abstract]

__all__ = ["FORECASTERS", "Fitted", "Forecaster", "Vector"]
