"""What parallelism costs a search that learns from its results, as measured by `benchmarks.parallel_tuning`."""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from math import log2
from typing import Final

from lakemill.core.planning import Interval, exact
from lakemill.core.records import record

TABLE: Final = "tuning_evidence.csv"
SEQUENTIAL: Final = exact(1.0)


@record
class Evidence:
    """What so many trials, so many at once, find.

    Parameters
    ----------
    share
        Share of the trials that the same search needs one after another to find as much; the bounds hold nine
        problems in ten.
    random_factor
        How many times as many trials random search needs to find as much.
    """

    share: Interval
    random_factor: float


def evidence(trials: int, parallel: int) -> Evidence:
    """Return what was measured for TPE, between the measured numbers by interpolation over their logarithms.

    Beyond them the nearest stand in; `measured` says whether they do. More at once is not taken to be better
    than one after another, though single problems were.

    Examples
    --------
    >>> evidence(64, 1).share
    Interval(value=1.0, low=1.0, high=1.0)
    """
    table = _table()
    lines = {of: _between({k: table[n, k] for n, k in table if n == of}, parallel) for of in {n for n, _ in table}}
    *shares, random_factor = _between(lines, trials)
    value, low, high = (min(1.0, share) for share in shares)
    return Evidence(
        share=SEQUENTIAL if parallel == 1 else Interval(value=value, low=low, high=high), random_factor=random_factor
    )


def measured(trials: int, parallel: int) -> bool:
    """Return whether the measurements reach that far."""
    numbers = [n for n, _ in _table()]
    most = max(k for _, k in _table())
    return bool(min(numbers) <= trials <= max(numbers) and parallel <= most)


@cache
def _table() -> Mapping[tuple[int, int], Sequence[float]]:
    """Return the lines of the table by trials and by how many at once: Optuna's TPE with its constant liar."""
    text = files(__package__).joinpath(TABLE).read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    columns = ("share", "one_low", "one_high", "random_factor")
    return {
        (int(row["trials"]), int(row["parallel"])): [float(row[column]) for column in columns]
        for row in rows
        if row["liar"] == "1"
    }


def _between(lines: Mapping[int, Sequence[float]], number: int) -> Sequence[float]:
    """Return the line for a number, by interpolation over the logarithm; the first or last for one beyond them."""
    numbers = sorted(lines)
    above = bisect_right(numbers, number)
    if above in (0, len(numbers)):
        return lines[numbers[max(0, above - 1)]]
    first, last = numbers[above - 1], numbers[above]
    weight = (log2(number) - log2(first)) / (log2(last) - log2(first))
    return [a + weight * (b - a) for a, b in zip(lines[first], lines[last], strict=True)]
