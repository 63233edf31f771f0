"""Aggregates in the SQL that engines share, with the same types of result on each."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from pyarrow import types as is_

from lakemill.core.errors import SchemaError
from lakemill.engines.frames._asof import check_columns, check_distinct
from lakemill.engines.frames.base import Aggregate

_FUNCTIONS = {"stddev": "stddev_samp", "var": "var_samp"}


def check_aggregates(by: Sequence[str], aggregates: Sequence[Aggregate], schema: pa.Schema) -> None:
    """Refuse aggregates whose columns are not there, have no such aggregate, or would appear twice.

    Raises
    ------
    SchemaError
        If so.
    """
    used = [aggregate.column for aggregate in aggregates if aggregate.column != "*"]
    check_columns("the frame", [*by, *used], schema.names)
    check_distinct([*by, *(aggregate.name for aggregate in aggregates)])
    for aggregate in aggregates:
        _check_operator(aggregate, schema)


def expression(aggregate: Aggregate, schema: pa.Schema, *, column: str) -> str:
    """Return an aggregate as SQL; `column` is its column as the engine quotes it.

    Integers sum to int64, decimals to 38 digits, the rest to double; averages and deviations are double.
    """
    if aggregate.operator == "count":
        return f"count({column})"
    if aggregate.operator in ("min", "max"):
        return f"{aggregate.operator}({column})"
    if aggregate.operator == "sum":
        return f"cast(sum({column}) as {_sum_type(schema.field(aggregate.column).type)})"
    function = _FUNCTIONS.get(aggregate.operator, aggregate.operator)
    return f"{function}(cast({column} as double))"


def _sum_type(kind: pa.DataType) -> str:
    if is_.is_decimal(kind):
        return f"decimal(38, {kind.scale})"
    return "bigint" if is_.is_integer(kind) else "double"


def _check_operator(aggregate: Aggregate, schema: pa.Schema) -> None:
    if aggregate.column == "*":
        if aggregate.operator != "count":
            raise SchemaError(f"{aggregate.operator} needs a column, got *", hint="only count takes *")
        return
    kind = schema.field(aggregate.column).type
    numeric = is_.is_integer(kind) or is_.is_floating(kind) or is_.is_decimal(kind)
    if aggregate.operator not in ("count", "min", "max") and not numeric:
        raise SchemaError(
            f"{aggregate.operator} of column {aggregate.column!r} needs numbers, it is {kind}",
            hint="count, min and max take any type",
        )
