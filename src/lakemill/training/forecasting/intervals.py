"""Prediction intervals from the errors of the backtest, pooled over series of like level.

An error is divided by a power law of the forecast (Taylor's law: the variance of counts grows as a
power of their mean); the quantiles of what remains are taken in bins of like level, and widen the
forecast back. Nothing is assumed of the shape of the errors.

References
----------
Taylor (1961), Aggregation, variance and the mean, Nature 189. Lei, G'Sell, Rinaldo, Tibshirani,
Wasserman (2018), Distribution-free predictive inference for regression, JASA 113. Bostrom, Linusson,
Johansson (2021), Mondrian conformal predictive distributions, PMLR 152.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lakemill.core.records import record
from lakemill.training.forecasting.choice import Array
from lakemill.training.forecasting.definition import LEVELS
from lakemill.training.forecasting.forecasters import Vector

BINS: Final = 10
LEAST_LEVEL: Final = 0.01
LESS_THAN_ONE: Final = 0.5


@record
class Intervals:
    """A power law of the errors and their quantiles.

    Parameters
    ----------
    slope, intercept
        Of the logarithm of the error's variance over that of the forecast.
    edges
        Levels of forecast between the bins.
    quantiles
        For each of `LEVELS`, a lower and an upper quantile of the scaled error per bin.
    """

    slope: float
    intercept: float
    edges: tuple[float, ...]
    quantiles: tuple[tuple[tuple[float, float], ...], ...]


def learn_intervals(forecast: Array, actual: Array) -> Intervals:
    """Learn from backtests, a row for each series and origin, both of shape ``(n, horizon)``."""
    level, error = forecast.mean(axis=1), ((actual - forecast) ** 2).mean(axis=1)
    bins = min(BINS, max(1, len(level) // BINS))
    edges = np.quantile(level, np.arange(1, bins) / bins)
    which = np.digitize(level, edges)
    slope, intercept = _power_law(level, error, which)
    score = (actual - forecast) / _deviation(forecast, slope, intercept)
    return Intervals(
        slope=slope,
        intercept=intercept,
        edges=tuple(edges.tolist()),
        quantiles=tuple(_tails(score, which, bins, percent) for percent in LEVELS),
    )


def _power_law(level: Vector, error: Vector, which: Array) -> tuple[float, float]:
    filled = np.unique(which)
    x = [np.log(level[which == b].mean() + LEAST_LEVEL) for b in filled]
    y = [np.log(np.median(error[which == b]) + LEAST_LEVEL) for b in filled]
    if len(filled) < 2 or np.ptp(x) == 0:
        return 1.0, float(y[0] - x[0])
    slope, intercept = np.polyfit(x, y, 1)
    return float(slope), float(intercept)


def _tails(score: Array, which: Array, bins: int, percent: int) -> tuple[tuple[float, float], ...]:
    tails = ((1 - percent / 100) / 2, (1 + percent / 100) / 2)
    rows = [score[which == b] if (which == b).any() else score for b in range(bins)]
    return tuple((float(np.quantile(row, tails[0])), float(np.quantile(row, tails[1]))) for row in rows)


def _deviation(forecast: Array, slope: float, intercept: float) -> Array:
    deviation: Array = np.exp((intercept + slope * np.log(forecast + LEAST_LEVEL)) / 2)
    return deviation


def interval(model: Intervals, forecast: Vector, level: int) -> tuple[Vector, Vector]:
    """Return lower and upper bounds, each of shape ``(horizon,)``.

    Demand is never negative, and less than half a unit is none.
    """
    spread = _deviation(forecast, model.slope, model.intercept)
    which = int(np.digitize(forecast.mean(), model.edges))
    low, high = model.quantiles[LEVELS.index(level)][which]
    lower = np.minimum(np.maximum(forecast + low * spread, 0), forecast)
    return np.where(lower < LESS_THAN_ONE, 0.0, lower), np.maximum(forecast + high * spread, forecast)
