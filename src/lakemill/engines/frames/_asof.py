"""Is an as-of join well formed? Asked alike on every engine, before any work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
from pyarrow import types as is_

from lakemill.core.errors import SchemaError, nearest
from lakemill.engines.frames.base import AsOf


def check_asof(on: AsOf, spine: pa.Schema, features: pa.Schema) -> None:
    """Refuse a join whose columns are not there, cannot be compared, or would appear twice.

    Raises
    ------
    SchemaError
        If so; the nearest column is named.
    """
    check_columns("the spine", [*(key for key, _ in on.keys), on.spine_time], spine.names)
    check_columns("the feature frame", _feature_columns(on), features.names)
    for left, right in (*on.keys, (on.spine_time, on.feature_time)):
        _check_comparable(spine.field(left), features.field(right))
    _check_time(spine.field(on.spine_time), on)
    check_distinct([*spine.names, *(name for _, name in on.columns)])


def check_columns(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names that are not among the known columns.

    Raises
    ------
    SchemaError
        If one is missing; the nearest column is named.
    """
    known = list(known)
    for name in names:
        if name not in known:
            raise SchemaError(f"{what} has no column {name!r}", hint=nearest(name, known))


def check_distinct(names: Iterable[str]) -> None:
    """Refuse a result with two columns of one name; case does not count, as in SQL.

    Raises
    ------
    SchemaError
        If there are two.
    """
    repeated = [name for name, times in Counter(map(str.lower, names)).items() if times > 1]
    if repeated:
        raise SchemaError(f"the result would have two columns named {', '.join(repeated)}", hint="rename one of them")


def _feature_columns(on: AsOf) -> list[str]:
    tie_break = [on.tie_break] if on.tie_break else []
    return [*(key for _, key in on.keys), on.feature_time, *tie_break, *(column for column, _ in on.columns)]


def _check_comparable(left: pa.Field, right: pa.Field) -> None:
    for family in (is_.is_integer, is_.is_temporal):
        if family(left.type) and family(right.type):
            return
    if left.type != right.type:
        raise SchemaError(
            f"spine column {left.name!r} is {left.type}, feature column {right.name!r} is {right.type}",
            hint="cast one of them to the other's type first",
        )


def _check_time(time: pa.Field, on: AsOf) -> None:
    if is_.is_temporal(time.type) or (is_.is_integer(time.type) and on.lookback_seconds is None):
        return
    raise SchemaError(
        f"time column {time.name!r} is {time.type}",
        hint="as-of joins take timestamps and dates, and integers where there is no lookback",
    )
