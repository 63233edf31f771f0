"""How much each member of the mix weighs: for all series together, and for each by its own backtest.

The weights for all are those that would have been best in the backtest, pulled to a prior. A single
series may lean away from them only as far as its own errors, origin by origin, agree with each other
more than chance would have it: with little history it stays where all are.

References
----------
Breiman (1996), Stacked regressions, Machine Learning 24. Diebold, Pauly (1990), The use of prior
information in forecast combination, International Journal of Forecasting 6(4). Holland, Welsch (1977),
Robust regression using iteratively reweighted least squares. Efron, Morris (1975), Data analysis using
Stein's estimator, JASA 70. Yang (2004), Combining forecasting procedures, Econometric Theory 20(1).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from scipy.optimize import nnls

from lakemill.core.records import record

Array = np.ndarray[Any, np.dtype[np.float64]]

PULL: Final = 1.0
TEMPERATURE: Final = 0.1
ROUNDS: Final = 12
LEAST_ERROR: Final = 1e-3


@record
class Prior:
    """What all series together say of the members.

    Parameters
    ----------
    pooled
        Weights of the members; they need not sum to 1.
    centre
        Mean loss of each member against the mean over members.
    noise, between
        Variance of that loss from origin to origin, and between series beyond it.
    """

    pooled: tuple[float, ...]
    centre: tuple[float, ...]
    noise: tuple[float, ...]
    between: tuple[float, ...]


def learn_prior(forecasts: Array, actual: Array, weight: Array, *, series: Array, prior: Array) -> Prior:
    """Learn from backtests of many series.

    Parameters
    ----------
    forecasts
        Scaled forecasts of shape ``(n, horizon, members)``, a row for each series and origin.
    actual
        Scaled actual values, ``(n, horizon)``.
    weight
        How much each row matters, ``(n,)``.
    series
        Number of the series that each row is of, ``(n,)``.
    prior
        Weights before any backtest, ``(members,)``.
    """
    pooled = pooled_weights(forecasts, actual, weight, prior)
    losses = np.sqrt(((forecasts - actual[:, :, None]) ** 2).mean(axis=1))
    centre, noise, between = _spread(losses - losses.mean(axis=1, keepdims=True), weight, series)
    return Prior(pooled=tuple(pooled), centre=tuple(centre), noise=tuple(noise), between=tuple(between))


def pooled_weights(forecasts: Array, actual: Array, weight: Array, prior: Array) -> Array:
    """Return non-negative weights ``(members,)`` that minimise the weighted mean RMSSE, pulled to a prior.

    Iteratively reweighted non-negative least squares: the mean of roots is a sum of squares, each
    divided by its root.
    """
    loss, weights = np.ones(len(actual)), prior
    for _ in range(ROUNDS):
        share = weight / weight.sum() / loss / actual.shape[1]
        gram = np.einsum("n,nhm,nhk->mk", share, forecasts, forecasts)
        cross = np.einsum("n,nhm,nh->m", share, forecasts, actual)
        ridge = PULL * np.trace(gram) / len(prior) + 1e-9
        root = np.linalg.cholesky(gram + ridge * np.eye(len(prior)))
        weights, _ = nnls(root.T, np.linalg.solve(root, cross + ridge * prior))
        loss = np.sqrt(np.maximum(((actual - forecasts @ weights) ** 2).mean(axis=1), LEAST_ERROR))
    return weights


def _spread(gaps: Array, weight: Array, series: Array) -> tuple[Array, Array, Array]:
    """Return mean, variance within and variance between series of the members' loss gaps."""
    number, inverse = np.unique(series, return_inverse=True)
    seen = np.bincount(inverse).astype(float)
    mean = _per_series(gaps, inverse, len(number)) / seen[:, None]
    within = _per_series((gaps - mean[inverse]) ** 2, inverse, len(number)) / np.maximum(seen - 1, 1)[:, None]
    share = np.where(seen >= 2, np.bincount(inverse, weights=weight), 0.0)
    if not share.sum():
        return mean.mean(axis=0), np.ones(gaps.shape[1]), np.zeros(gaps.shape[1])
    centre, noise = (np.average(value, axis=0, weights=share) for value in (mean, within))
    total = np.average((mean - centre) ** 2, axis=0, weights=share)
    chance = noise * np.average(1 / seen, weights=share)
    return centre, noise, np.maximum(total - chance, 0)


def _per_series(values: Array, inverse: Any, count: int) -> Array:
    total = np.zeros((count, values.shape[1]))
    np.add.at(total, inverse, values)
    return total


def series_weights(prior: Prior, losses: Array) -> Array:
    """Return the weights of the members for one series, ``(members,)``.

    Parameters
    ----------
    prior
        What all series say.
    losses
        The series' own RMSSE at each origin, ``(origins, members)``; may have no row.

    Notes
    -----
    With ``n`` origins the own evidence counts ``B = between / (between + noise / n)``, so a series
    without history has the pooled weights. The sum of the weights stays that of the pooled ones.
    """
    pooled = np.array(prior.pooled)
    if not len(losses):
        return pooled
    gap = (losses - losses.mean(axis=1, keepdims=True)).mean(axis=0)
    between, noise = np.array(prior.between), np.array(prior.noise)
    shrink = between / (between + noise / len(losses) + 1e-12)
    tilted = pooled * np.exp(-shrink * (gap - np.array(prior.centre)) / TEMPERATURE)
    weights: Array = tilted / tilted.sum() * pooled.sum()
    return weights
