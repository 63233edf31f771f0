"""The choice of weights, against optimisers and simulations that know nothing of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from lakemill.training.forecasting import metrics
from lakemill.training.forecasting.choice import Prior, learn_prior, pooled_weights, series_weights
from lakemill.training.forecasting.definition import Forecasting
from lakemill.training.forecasting.demand import demand_class
from lakemill.training.forecasting.intervals import interval, learn_intervals
from lakemill.training.forecasting.series import combine

HORIZON = 14


def backtests(rng, *, series=300, origins=3, noise=(0.3, 0.6, 1.2)):
    """Series with a level, and members that miss it by noise of their own."""
    rows = series * origins
    actual = np.abs(rng.normal(2.0, 0.5, (rows, 1)) + rng.normal(0, 0.5, (rows, HORIZON)))
    forecasts = np.stack([np.maximum(actual + rng.normal(0, s, actual.shape), 0) for s in noise], axis=-1)
    return forecasts, actual, rng.uniform(0.5, 2.0, rows), np.repeat(np.arange(series), origins)


def test_pooled_weights_minimise_the_weighted_mean_rmsse(monkeypatch):
    """With hardly any pull to the prior, a general optimiser finds nothing better."""
    monkeypatch.setattr("lakemill.training.forecasting.choice.PULL", 1e-6)
    forecasts, actual, weight, _ = backtests(np.random.default_rng(1))

    def loss(weights):
        return np.average(np.sqrt(((actual - forecasts @ weights) ** 2).mean(axis=1)), weights=weight)

    found = pooled_weights(forecasts, actual, weight, np.full(3, 1 / 3))
    best = minimize(loss, np.full(3, 1 / 3), bounds=[(0, None)] * 3, method="L-BFGS-B", options={"ftol": 1e-14})
    assert loss(found) <= best.fun * (1 + 1e-4)
    assert (found >= 0).all()


def test_a_strong_pull_gives_the_prior(monkeypatch):
    monkeypatch.setattr("lakemill.training.forecasting.choice.PULL", 1e9)
    forecasts, actual, weight, _ = backtests(np.random.default_rng(2))
    prior = np.array([0.2, 0.3, 0.5])
    assert pooled_weights(forecasts, actual, weight, prior) == pytest.approx(prior, abs=1e-6)


def test_little_history_shrinks_to_the_pooled_weights():
    prior = Prior(pooled=(0.6, 0.4), centre=(0.0, 0.0), noise=(0.04, 0.04), between=(0.01, 0.01))
    loss = np.array([0.5, 1.0])
    weights = [series_weights(prior, np.tile(loss, (n, 1)))[0] for n in (0, 1, 3, 100)]
    assert weights[0] == 0.6
    assert weights == sorted(weights)  # the more origins agree, the further it leans to the better member
    assert all(series_weights(prior, np.tile(loss, (n, 1))).sum() == pytest.approx(1.0) for n in (1, 3, 100))


def test_series_that_differ_by_chance_alone_are_not_told_apart():
    """Where every member is as good as the next on every series, nothing is left between series."""
    rng = np.random.default_rng(3)
    forecasts, actual, weight, series = backtests(rng, series=400, noise=(0.5, 0.5, 0.5))
    prior = learn_prior(forecasts, actual, weight, series=series, prior=np.full(3, 1 / 3))
    assert np.max(np.array(prior.between) / np.array(prior.noise)) < 0.1


def test_series_that_really_differ_are_told_apart():
    rng = np.random.default_rng(4)
    forecasts, actual, weight, series = backtests(rng, series=400, noise=(0.5, 0.5))
    swap = series % 2 == 0
    forecasts[swap, :, 0] += rng.normal(0, 1.5, forecasts[swap, :, 0].shape)
    forecasts[~swap, :, 1] += rng.normal(0, 1.5, forecasts[~swap, :, 1].shape)
    prior = learn_prior(forecasts, actual, weight, series=series, prior=np.full(2, 0.5))
    assert np.min(np.array(prior.between) / np.array(prior.noise)) > 1


def test_intervals_cover_what_they_say():
    """On Poisson demand of many levels, fresh days fall inside as often as stated."""
    rng = np.random.default_rng(5)
    level = np.exp(rng.uniform(0, 5, 4000))[:, None]
    forecast = np.broadcast_to(level, (4000, HORIZON)).copy()
    bands = learn_intervals(forecast, rng.poisson(forecast).astype(float))
    fresh = rng.poisson(forecast).astype(float)
    for percent in (80, 95):
        inside = [metrics.inside(y, *interval(bands, f, percent)) for y, f in zip(fresh, forecast, strict=True)]
        assert percent / 100 - 0.02 < np.mean(inside) < percent / 100 + 0.06  # counts are discrete


def test_intervals_are_never_negative_and_hold_the_forecast():
    rng = np.random.default_rng(6)
    forecast = rng.uniform(0, 3, (200, HORIZON))
    bands = learn_intervals(forecast, rng.poisson(forecast).astype(float))
    for row in forecast:
        lower, upper = interval(bands, row, 95)
        assert (lower >= 0).all()
        assert (lower <= row).all()
        assert (row <= upper).all()


def test_a_missing_member_leaves_its_share_to_the_others():
    weights = {"a": 0.5, "b": 0.3, "c": 0.1}
    paths = {"a": np.array([1.0, 2.0]), "c": np.array([3.0, 4.0])}
    assert combine(paths, weights) == pytest.approx((0.5 * paths["a"] + 0.1 * paths["c"]) * 0.9 / 0.6)


@pytest.mark.parametrize(
    ("y", "name"),
    [
        ([5, 6, 5, 6, 5, 6], "smooth"),
        ([1, 30, 2, 1, 25, 1], "erratic"),
        ([5, 0, 5, 0, 0, 5], "intermittent"),
        ([1, 0, 40, 0, 0, 2], "lumpy"),
        ([0, 0], "none"),
    ],
)
def test_demand_classes(y, name):
    assert demand_class(np.array(y, dtype=float)) == name


def test_prior_weights_give_half_to_the_global_model():
    fit = Forecasting(horizon=7, calendar="a.b.c", members=("lightgbm", "ses", "tsb"))
    assert fit.prior == (0.5, 0.25, 0.25)
    alone = Forecasting(horizon=7, calendar="a.b.c", forecasters=("ses", "tsb"), members=("ses", "tsb"))
    assert alone.prior == (0.5, 0.5)
