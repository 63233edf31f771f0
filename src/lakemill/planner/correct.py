"""What past predictions teach the next: by how much they were off, and how widely they scattered.

The logarithms of measured over predicted seconds are taken as normal. Before any run their mean is 0 and their
spread what the prediction's own interval states; every run moves both.

References
----------
Gelman et al. (2013), Bayesian data analysis, 3rd ed., section 3.3: normal data, conjugate prior, prediction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from lakemill.core.planning import Interval

MEAN_RUNS: Final = 1  # runs that "no correction" counts for
SPREAD_RUNS: Final = 4  # runs that the stated interval counts for
SIGMAS: Final = 1.645  # 90 % of a normal distribution
SMALLEST: Final = 0.01  # share of the value below which a bound says no more


def correction(ratios: Sequence[float]) -> float:
    """Return the factor by which predictions are corrected.

    Parameters
    ----------
    ratios
        Measured over predicted seconds of past runs, predictions as they were before any correction.

    Examples
    --------
    >>> correction([]), round(correction([1.2] * 9), 3)
    (1.0, 1.178)
    """
    return math.exp(sum(map(math.log, ratios)) / (len(ratios) + MEAN_RUNS))


def corrected(seconds: Interval, ratios: Sequence[float]) -> Interval:
    """Return predicted seconds, corrected by how past predictions came out.

    Examples
    --------
    >>> corrected(Interval(value=10, low=5, high=20), [])
    Interval(value=10.0, low=5.0, high=20.0)
    """
    if not ratios or not seconds.value:
        return seconds
    runs, mean = len(ratios), math.log(correction(ratios))
    below, above = _sigmas(seconds)
    scatter = sum((math.log(ratio) - mean) ** 2 for ratio in ratios) + MEAN_RUNS * mean**2
    value = seconds.value * math.exp(mean)
    return Interval(
        value=value,
        low=value / math.exp(SIGMAS * _predictive(below, scatter, runs)),
        high=value * math.exp(SIGMAS * _predictive(above, scatter, runs)),
    )


def _sigmas(seconds: Interval) -> tuple[float, float]:
    """Return the standard deviations of the logarithm that the interval states, downwards and upwards."""
    low = max(seconds.low, SMALLEST * seconds.value)
    return math.log(seconds.value / low) / SIGMAS, math.log(seconds.high / seconds.value) / SIGMAS


def _predictive(stated: float, scatter: float, runs: int) -> float:
    """Return the standard deviation of the logarithm of the next run."""
    variance = (SPREAD_RUNS * stated**2 + scatter) / (SPREAD_RUNS + runs)
    return math.sqrt(variance * (1 + 1 / (runs + MEAN_RUNS)))
