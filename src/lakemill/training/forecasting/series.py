"""One series: backtest it, weigh the members, measure on the held-out steps, fit for real."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from lakemill.core.errors import TaskError
from lakemill.core.records import record
from lakemill.training.forecasting import metrics
from lakemill.training.forecasting.choice import Array, Prior, series_weights
from lakemill.training.forecasting.definition import GLOBAL, LEVELS, Forecasting
from lakemill.training.forecasting.demand import demand_class
from lakemill.training.forecasting.forecasters import FORECASTERS, Fitted, Vector
from lakemill.training.forecasting.grid import Grid
from lakemill.training.forecasting.intervals import Intervals, interval
from lakemill.training.many.groups import Group
from lakemill.training.many.outputs import Columns

logger = logging.getLogger(__name__)

MIX = "mix"
NO_MEMBER: Final = "no member of the mix takes the series"
ADD_MEMBER: Final = "add a member that takes short series: tsb"


@record
class Learnt:
    """What all series together taught, and the days to forecast."""

    prior: Prior
    intervals: Intervals
    days: tuple[Any, ...]


class Path:
    """A forecast that was made beforehand, as a fitted model: the global model's share.

    Parameters
    ----------
    values
        Expected values, shape ``(horizon,)``.
    """

    def __init__(self, values: Vector) -> None:
        self._values = values

    def forecast(self, horizon: int) -> Vector:
        """Return the first steps of the path, shape ``(horizon,)``."""
        return self._values[:horizon]


class SeriesModel:
    """The mix that forecasts one series.

    Parameters
    ----------
    fitted
        Fitted members by name.
    weights
        Their weights.
    learnt
        Intervals and days.
    time
        Name of the column of days in the forecast.
    """

    def __init__(self, fitted: Mapping[str, Fitted], weights: Mapping[str, float], learnt: Learnt, time: str) -> None:
        self.fitted = dict(fitted)
        self.weights = dict(weights)
        self.intervals = learnt.intervals
        self.days = learnt.days
        self.time = time

    def predict(self, rows: pd.DataFrame) -> pd.DataFrame:  # noqa: ARG002  the series is all it needs
        """Return a row per day: ``forecast`` and the bounds of the 80 and 95 % intervals."""
        paths = {name: fitted.forecast(len(self.days)) for name, fitted in self.fitted.items()}
        forecast = combine(paths, self.weights)
        columns: dict[str, Any] = {self.time: list(self.days), "forecast": forecast}
        for level in LEVELS:
            columns[f"lower_{level}"], columns[f"upper_{level}"] = interval(self.intervals, forecast, level)
        return pd.DataFrame(columns)


def combine(paths: Mapping[str, Vector], weights: Mapping[str, float]) -> Vector:
    """Return the weighted sum of forecasts; where a member is missing, the others take its share."""
    present = [name for name in weights if name in paths]
    if not present:
        raise TaskError(NO_MEMBER, hint=ADD_MEMBER)
    share = sum(weights.values()) / sum(weights[name] for name in present)
    mixed: Vector = np.sum([weights[name] * share * paths[name] for name in present], axis=0)
    return np.maximum(mixed, 0.0)


class Series:
    """One group's rows as a series on the calendar.

    Parameters
    ----------
    group
        Part ``rows``: position, y, w; part ``global``: origin, step, value.
    method
        What is fitted.
    """

    def __init__(self, group: Group, method: Forecasting) -> None:
        self.method = method
        self.y: Vector = group.column("rows", "y")
        self.start = int(group.column("rows", "position")[0])
        self._weight: Vector = group.column("rows", "w")
        self._global = _paths(group)

    def before(self, origin: int) -> Vector:
        """Return the values before an origin."""
        return self.y[: max(0, origin - self.start)]

    def after(self, origin: int) -> Vector:
        """Return the values of the horizon from an origin on."""
        return self.y[origin - self.start : origin - self.start + self.method.horizon]

    def weight(self, origin: int) -> float:
        """Return how much the series mattered in the horizon before an origin."""
        end = max(0, origin - self.start)
        return float(self._weight[max(0, end - self.method.horizon) : end].sum())

    def fit(self, origin: int, names: tuple[str, ...]) -> dict[str, Fitted]:
        """Fit those of the named forecasters that take the series as it was before an origin."""
        y, fitted = self.before(origin), dict[str, Fitted]()
        if GLOBAL in names and origin in self._global:
            fitted[GLOBAL] = Path(self._global[origin])
        kind = demand_class(y)
        for name in names:
            if name != GLOBAL and (model := _fit(name, y, kind, self.method.season)) is not None:
                fitted[name] = model
        return fitted

    def paths(self, origin: int, names: tuple[str, ...]) -> dict[str, Vector]:
        """Return the forecasts at an origin of the named forecasters, none below 0."""
        horizon = self.method.horizon
        return {name: np.maximum(model.forecast(horizon), 0.0) for name, model in self.fit(origin, names).items()}


def _paths(group: Group) -> dict[int, Vector]:
    origins, values = group.column("global", "origin"), group.column("global", "value")
    return {int(origin): values[origins == origin] for origin in np.unique(origins)}


def _fit(name: str, y: Vector, kind: str, season: int) -> Fitted | None:
    """Fit one forecaster, or return None where it does not take the series."""
    forecaster = FORECASTERS.load(name)()
    if kind not in forecaster.classes or len(y) < forecaster.min_observations:
        return None
    try:
        model = forecaster.fit(y, season)
        return model if np.isfinite(model.forecast(1)).all() else None
    except (ArithmeticError, LookupError, NotImplementedError, ValueError) as error:
        logger.debug("%s does not take a series of %d steps: %r", name, len(y), error)
        return None


def backtest(method: Forecasting, grid: Grid, group: Group) -> dict[str, Columns]:
    """Forecast a series at every origin of the backtest.

    Returns
    -------
    dict
        ``backtests``: a row for each origin and forecaster.
    """
    series, rows = Series(group, method), list[dict[str, Any]]()
    for origin in grid.backtest:
        rows.extend(_backtest_rows(series, origin))
    return {"backtests": {name: [row[name] for row in rows] for name in BACKTEST_COLUMNS}}


BACKTEST_COLUMNS = ("origin", "method", "class", "seen", "weight", "unit", "rmsse", "forecast", "actual")


def _backtest_rows(series: Series, origin: int) -> Iterator[dict[str, Any]]:
    y = series.before(origin)
    if not len(y):
        return
    unit, actual = metrics.squared_change(y), series.after(origin)
    for name, path in series.paths(origin, series.method.forecasters).items():
        yield {
            "origin": origin,
            "method": name,
            "class": demand_class(y),
            "seen": len(y),
            "weight": series.weight(origin),
            "unit": unit,
            "rmsse": metrics.rmsse(actual, path, unit),
            "forecast": path,
            "actual": actual,
        }


def own_losses(method: Forecasting, group: Group) -> Array:
    """Return a series' RMSSE by origin and member, ``(origins, members)``, where all members have one."""
    frame = group.frame("backtests")
    if frame.empty:
        return np.empty((0, len(method.members)))
    table = frame.pivot_table(index="origin", columns="method", values="rmsse", sort=True)
    return table.reindex(columns=list(method.members)).dropna().to_numpy()


def fit_series(method: Forecasting, grid: Grid, group: Group, *, learnt: Learnt, time: str) -> dict[str, Columns]:
    """Weigh the members by the backtest, measure the mix on the held-out steps, fit on everything.

    Returns
    -------
    dict
        ``models``: the pickled `SeriesModel`; ``accuracy``: a row for each method on the held-out
        steps; ``holdout``: the mix's held-out forecasts.
    """
    series = Series(group, method)
    weights = dict(zip(method.members, series_weights(learnt.prior, own_losses(method, group)), strict=True))
    fitted = series.fit(grid.end, method.members)
    if not fitted:
        raise TaskError(NO_MEMBER, hint=ADD_MEMBER)
    model = SeriesModel(fitted, weights, learnt, time)
    kind = demand_class(series.y)
    shares = [list(weights.values())]
    rows: dict[str, Columns] = {"models": {"model": pickle.dumps(model), "class": kind, "weights": shares}}
    if len(series.before(grid.holdout)):
        rows |= _measure(series, grid.holdout, weights, learnt.intervals)
    return rows


def _measure(series: Series, origin: int, weights: Mapping[str, float], bands: Intervals) -> dict[str, Columns]:
    actual, paths = series.after(origin), series.paths(origin, series.method.forecasters)
    paths[MIX] = combine({name: path for name, path in paths.items() if name in weights}, weights)
    bounds = {level: interval(bands, paths[MIX], level) for level in LEVELS}
    kind = demand_class(series.before(origin))
    rows = [_accuracy(series, origin, name, path) | {"class": kind} for name, path in paths.items()]
    for level, (lower, upper) in bounds.items():
        for row in rows:
            row[f"inside_{level}"] = metrics.inside(actual, lower, upper) if row["method"] == MIX else None
    held: dict[str, Any] = {
        "position": np.arange(origin, origin + len(actual)),
        "actual": actual,
        "forecast": paths[MIX],
    }
    for level, (lower, upper) in bounds.items():
        held |= {f"lower_{level}": lower, f"upper_{level}": upper}
    return {"accuracy": {name: [row[name] for row in rows] for name in rows[0]}, "holdout": held}


def _accuracy(series: Series, origin: int, name: str, path: Vector) -> dict[str, Any]:
    y, actual = series.before(origin), series.after(origin)
    unit = metrics.squared_change(y)
    return {
        "method": name,
        "seen": len(y),
        "weight": 0.0 if unit is None else series.weight(origin),
        "rmsse": metrics.rmsse(actual, path, unit),
        "mase": metrics.mase(actual, path, metrics.seasonal_change(y, series.method.season)),
        "forecast_units": float(path.sum()),
        "actual_units": float(actual.sum()),
    }
