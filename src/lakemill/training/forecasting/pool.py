"""What all series together teach: read the backtests, learn weights and intervals.

Where there are very many series, a sample that their keys decide is read, so that memory stays
bounded and every engine reads the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final
from zlib import crc32

import numpy as np
import pyarrow as pa

from lakemill.core.errors import TaskError
from lakemill.training.forecasting.choice import Array, Prior, learn_prior, series_weights
from lakemill.training.forecasting.definition import Forecasting
from lakemill.training.forecasting.intervals import Intervals, learn_intervals
from lakemill.training.many.artifact import key_text

MAX_SERIES: Final = 20_000


def learn(
    backtests: Iterable[pa.RecordBatch], method: Forecasting, *, keys: tuple[str, ...], groups: int
) -> tuple[Prior, Intervals]:
    """Learn the prior of the members' weights and the intervals from the backtests of all series.

    Parameters
    ----------
    backtests
        Rows as `series.backtest` makes them, with the columns of `keys`; in any order.
    method
        What the backtests are of.
    keys
        Columns that name a series.
    groups
        How many series there are.

    Raises
    ------
    TaskError
        If no series could be backtested with all members.
    """
    rows = _Rows(_sample(backtests, keys, groups), method.members)
    if not len(rows.weight):
        raise TaskError(
            "no series has a backtest of every member of the mix",
            hint="see the failures table, or choose other members",
        )
    weighs = rows.weight > 0
    prior = learn_prior(
        rows.scaled[weighs],
        rows.scaled_actual[weighs],
        rows.weight[weighs],
        series=rows.series[weighs],
        prior=np.array(method.prior),
    )
    old = rows.seen >= method.horizon
    return prior, learn_intervals(rows.mixed(prior)[old], rows.actual[old])


def _sample(backtests: Iterable[pa.RecordBatch], keys: tuple[str, ...], groups: int) -> list[dict[str, object]]:
    """Return backtest rows in the order of keys and origins, whatever order they came in."""
    share = 1 + groups // MAX_SERIES
    kept = [row for row in _read(backtests, keys) if crc32(str(row["key"]).encode()) % share == 0]
    return sorted(kept, key=lambda row: (row["key"], row["origin"]))


def _read(backtests: Iterable[pa.RecordBatch], keys: tuple[str, ...]) -> Iterator[dict[str, object]]:
    for batch in backtests:
        for row in batch.to_pylist():
            yield row | {"key": key_text(tuple(row[name] for name in keys))}


class _Rows:
    """Backtests as arrays, a row for each series and origin at which every member forecast."""

    def __init__(self, rows: list[dict[str, object]], members: tuple[str, ...]) -> None:
        found: dict[tuple[object, object], dict[object, dict[str, object]]] = {}
        for row in rows:
            if row["method"] in members and row["unit"] is not None:
                found.setdefault((row["key"], row["origin"]), {})[row["method"]] = row
        whole = [
            [by_method[name] for name in members] for by_method in found.values() if len(by_method) == len(members)
        ]
        first = [methods[0] for methods in whole]
        numbers = {key: number for number, key in enumerate(dict.fromkeys(row["key"] for row in first))}
        self.series = np.array([numbers[row["key"]] for row in first])
        self.weight, self.unit, self.seen = (
            np.array([row[name] for row in first], dtype=float) for name in ("weight", "unit", "seen")
        )
        self.actual = np.array([row["actual"] for row in first], dtype=float)
        self.forecasts = np.array([[row["forecast"] for row in methods] for methods in whole], dtype=float)
        self._losses = np.array([[row["rmsse"] for row in methods] for methods in whole], dtype=float)

    @property
    def scaled(self) -> Array:
        """Forecasts in units of the series' usual change, ``(n, horizon, members)``."""
        scaled: Array = np.moveaxis(self.forecasts, 1, 2) / np.sqrt(self.unit)[:, None, None]
        return scaled

    @property
    def scaled_actual(self) -> Array:
        """Actual values in the same units, ``(n, horizon)``."""
        scaled: Array = self.actual / np.sqrt(self.unit)[:, None]
        return scaled

    def mixed(self, prior: Prior) -> Array:
        """Return the mix that each series would have, ``(n, horizon)``."""
        weights = np.array(
            [series_weights(prior, self._losses[self.series == number]) for number in np.unique(self.series)]
        )
        mixed: Array = np.maximum(np.einsum("nmh,nm->nh", self.forecasts, weights[self.series]), 0)
        return mixed
