"""Forecasters of the statsforecast library, kept slim."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Final

from lakemill.training.forecasting.forecasters.base import Forecaster, Vector

UNUSED_BY_FORECAST: Final = ("residuals", "fitted", "actual_residuals")


class StatsForecaster(Forecaster):
    """A forecaster that a model of statsforecast does."""

    @abstractmethod
    def model(self, season: int) -> Any:
        """Return the unfitted model."""

    def fit(self, y: Vector, season: int) -> Slim:
        """Fit the library's model to a series of shape ``(n,)``."""
        return Slim(self.model(season).fit(y))


class Slim:
    """A fitted model with the arrays that only diagnostics read cut short.

    Parameters
    ----------
    model
        The fitted model; changed in place.
    """

    def __init__(self, model: Any) -> None:
        for name in UNUSED_BY_FORECAST:
            if name in model.model_:
                model.model_[name] = model.model_[name][:1]
        self._model = model

    def forecast(self, horizon: int) -> Vector:
        """Return the expected values of the next steps, shape ``(horizon,)``."""
        mean: Vector = self._model.predict(h=horizon)["mean"]
        return mean
