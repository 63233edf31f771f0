"""What a table's columns hold: counts, moments and exact quartiles, computed by the frame engine.

The engine sorts and spills, so that a table may be larger than memory; a few numbers a column come back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from pyarrow import types as is_

from lakemill.catalog.schemas import quoted
from lakemill.engines.frames import Frame, FrameEngine

if TYPE_CHECKING:
    import pandas as pd

QUARTILES: Final[Mapping[str, float]] = {"25%": 0.25, "50%": 0.5, "75%": 0.75}
STATISTICS: Final = ("count", "nulls", "mean", "stddev", "min", *QUARTILES, "max")


def summarize(frames: FrameEngine, frame: Frame) -> pd.DataFrame:
    """Return one row of `STATISTICS` for each column of a frame.

    Numbers get all of them, as pandas defines them (linear interpolation between ranks, the sample
    deviation, NaN as null); other columns have counts, least and greatest value.

    References
    ----------
    Hyndman and Fan, "Sample quantiles in statistical packages", The American Statistician 50 (1996), type 7.
    """
    import pandas as pd

    fields = [field for field in frames.schema(frame) if not is_.is_nested(field.type)]
    totals = _rows(frames, frame, f"select {', '.join(_aggregates(fields))} from s")[0]
    found = {}
    for number, field in enumerate(fields):
        row = {name: totals[f"{name}_{number}"] for name in ("count", "nulls", "mean", "stddev", "min", "max")}
        found[field.name] = row | (_quartiles(frames, frame, field, count=row["count"]) if _is_number(field) else {})
    return pd.DataFrame.from_dict(found, orient="index", columns=list(STATISTICS))


def _aggregates(fields: list[pa.Field]) -> Iterator[str]:
    for number, field in enumerate(fields):
        value = _value(field)
        yield f"count({value}) as count_{number}"
        yield f"count(*) - count({value}) as nulls_{number}"
        yield f"min({value}) as min_{number}"
        yield f"max({value}) as max_{number}"
        for name, function in (("mean", "avg"), ("stddev", "stddev_samp")):
            yield f"{f'{function}({value})' if _is_number(field) else 'cast(null as double)'} as {name}_{number}"


def _quartiles(frames: FrameEngine, frame: Frame, field: pa.Field, *, count: int) -> dict[str, float]:
    if not count:
        return {}
    places = {name: share * (count - 1) for name, share in QUARTILES.items()}
    ranks = sorted({rank for place in places.values() for rank in (math.floor(place), math.ceil(place))})
    asked = ", ".join(str(rank + 1) for rank in ranks)
    ranked = (
        f"select x, row_number() over (order by x) as r from (select {_value(field)} as x from s) v where x is not null"
    )
    values = {
        row["r"] - 1: row["x"] for row in _rows(frames, frame, f"select r, x from ({ranked}) q where r in ({asked})")
    }
    return {
        name: _between(values[math.floor(place)], values[math.ceil(place)], place) for name, place in places.items()
    }


def _between(low: float, high: float, place: float) -> float:
    return low + (high - low) * (place - math.floor(place))


def _value(field: pa.Field) -> str:
    name = quoted(field.name)
    if is_.is_floating(field.type):
        return f"cast(case when isnan({name}) then null else {name} end as double)"
    return f"cast({name} as double)" if _is_number(field) else name


def _is_number(field: pa.Field) -> bool:
    return bool(is_.is_integer(field.type) or is_.is_floating(field.type) or is_.is_decimal(field.type))


def _rows(frames: FrameEngine, frame: Frame, query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = frames.to_arrow(frames.sql(query, {"s": frame})).read_all().to_pylist()
    return rows
