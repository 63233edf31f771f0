"""What frame engines must give, worked out by hand, and inputs that collide in every way."""

from __future__ import annotations

import datetime as dt
import math
import random
import statistics
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from lakemill.engines.frames import AsOf

Row = dict[str, Any]

SPINE = pa.schema({"shop": pa.string(), "item": pa.int64(), "at": pa.timestamp("us", tz="UTC")})
FEATURES = pa.schema({
    "store": pa.string(), "article": pa.int64(), "since": pa.timestamp("us", tz="UTC"),
    "made": pa.int64(), "price": pa.float64(), "name": pa.string(),
})  # fmt: skip


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Sort rows by their values; columns keep their order."""
    return sorted(rows, key=lambda row: repr(sorted(row.items())))


def asof_by_hand(spine: Sequence[Row], features: Sequence[Row], on: AsOf) -> list[Row]:
    """Join every spine row with the one feature row that the contract names, by looking at all."""
    return [{**row, **_values(_match(row, features, on), on)} for row in spine]


def _match(row: Row, features: Sequence[Row], on: AsOf) -> Row | None:
    known = [feature for feature in features if _matches(row, feature, on)]
    return max(known, key=lambda f: (f[on.feature_time], _rank(f, on.tie_break)), default=None)


def _matches(row: Row, feature: Row, on: AsOf) -> bool:
    if any(row[left] is None or row[left] != feature[right] for left, right in on.keys):
        return False
    now, then = row[on.spine_time], feature[on.feature_time]
    if now is None or then is None or then > now:
        return False
    return on.lookback_seconds is None or now - then <= dt.timedelta(seconds=on.lookback_seconds)


def _rank(feature: Row, tie_break: str | None) -> tuple[bool, Any]:
    value = feature[tie_break] if tie_break else None
    return (value is not None, value)


def _values(feature: Row | None, on: AsOf) -> Row:
    return {name: None if feature is None else feature[column] for column, name in on.columns}


def random_asof(seed: int, *, ties: bool) -> tuple[pa.Table, pa.Table]:
    """Make a spine and features that collide in every way: ties, nulls, lone keys, equal spine rows."""
    draw = random.Random(seed)  # noqa: S311
    spine = [
        {"shop": or_none(draw, draw.choice("abc")), "item": draw.randrange(3), "at": or_none(draw, _instant(draw))}
        for _ in range(300)
    ]
    features = [
        {
            "store": or_none(draw, draw.choice("abd")),
            "article": draw.randrange(3),
            "since": or_none(draw, _instant(draw)),
            "made": number if draw.random() < 0.9 else None,
            "price": or_none(draw, draw.random()),
            "name": f"{number}",
        }
        for number in range(200)
    ]
    if ties:
        features = _one_null_a_tie(features)
    else:
        features = list({(f["store"], f["article"], f["since"]): f for f in features}.values())
    return pa.Table.from_pylist(spine, SPINE), pa.Table.from_pylist(features, FEATURES)


def or_none(draw: random.Random, value: Any) -> Any:
    """Return the value, or None one time in twenty."""
    return value if draw.random() < 0.95 else None


def _instant(draw: random.Random) -> dt.datetime:
    return dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(
        hours=draw.randrange(40), microseconds=draw.randrange(2)
    )


def _one_null_a_tie(features: Sequence[Row]) -> list[Row]:
    """Keep one row without `made` per instant, so that every tie has one greatest row."""
    return list({(f["store"], f["article"], f["since"], f["made"]): f for f in features}.values())


def aggregates_by_hand(values: Sequence[float | None]) -> Row:
    """Aggregate the values that are there; deviations are those of a sample."""
    known = [value for value in values if value is not None]
    several = len(known) > 1
    return {
        "sum": math.fsum(known) if known else None,
        "avg": statistics.fmean(known) if known else None,
        "count": len(known),
        "min": min(known, default=None),
        "max": max(known, default=None),
        "stddev": statistics.stdev(known) if several else None,
        "var": statistics.variance(known) if several else None,
    }
