"""Accuracy of a forecast of one series, and what an average over series weighs.

References
----------
Makridakis, Spiliotis, Assimakopoulos (2022), The M5 accuracy competition, International Journal of
Forecasting 38(4). Hyndman, Koehler (2006), International Journal of Forecasting 22(4).
"""

from __future__ import annotations

import numpy as np

from lakemill.training.forecasting.forecasters import Vector


def squared_change(y: Vector) -> float | None:
    """Return the mean squared change from step to step, the square of RMSSE's unit; None if it is 0.

    Examples
    --------
    >>> squared_change(np.array([1.0, 3.0, 3.0]))
    2.0
    """
    total = float(np.mean(np.diff(y) ** 2)) if len(y) > 1 else 0.0
    return total or None


def seasonal_change(y: Vector, season: int) -> float | None:
    """Return the mean absolute change from season to season, MASE's unit; None if it is 0."""
    total = float(np.mean(np.abs(y[season:] - y[:-season]))) if len(y) > season else 0.0
    return total or None


def rmsse(actual: Vector, forecast: Vector, unit: float | None) -> float | None:
    """Return the root mean squared scaled error; `unit` is `squared_change` of the training part, None if there is none.

    Examples
    --------
    >>> rmsse(np.array([2.0, 4.0]), np.array([0.0, 4.0]), 2.0)
    1.0
    """
    return None if unit is None else float(np.sqrt(np.mean((actual - forecast) ** 2) / unit))


def mase(actual: Vector, forecast: Vector, unit: float | None) -> float | None:
    """Return the mean absolute scaled error; `unit` is `seasonal_change` of the training part, None if there is none."""
    return None if unit is None else float(np.mean(np.abs(actual - forecast)) / unit)


def inside(actual: Vector, lower: Vector, upper: Vector) -> float:
    """Return the share of steps inside the interval.

    Examples
    --------
    >>> inside(np.array([1.0, 9.0]), np.array([0.0, 0.0]), np.array([2.0, 2.0]))
    0.5
    """
    return float(np.mean((actual >= lower) & (actual <= upper)))
