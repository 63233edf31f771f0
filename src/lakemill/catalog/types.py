"""One schema for the same data, whichever library it comes from.

Delta has fewer types than Arrow, and libraries choose different Arrow types for the same column.
Data is brought to these types, without loss or not at all:

=====================================  =======================================================
string, large_string, string_view      string
binary of any kind                     binary
dictionary (categorical)               the type of its values
timestamp of any unit and zone         timestamp[us, tz=UTC]; one without a zone is taken as UTC
date64                                 date32
uint8, uint16, uint32                  int16, int32, int64
uint64                                 int64, refused above 2**63 - 1
halffloat                              float
decimal of any width                   decimal128, up to 38 digits
list of any kind, map, struct          list, map, struct, inner types as above
null                                   the type that the table has; refused in a new column
=====================================  =======================================================

Everything else (time of day, duration, interval, union) is refused by name.
"""

from __future__ import annotations

import re
from collections import Counter

import pyarrow as pa
from pyarrow import types as is_

from lakemill.core.errors import SchemaError

TIMESTAMP = pa.timestamp("us", tz="UTC")
_PLAIN = {
    pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64(),
    pa.string(), pa.binary(), pa.date32(), pa.null(),
}  # fmt: skip
_WIDENED = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.int64(),
    pa.float16(): pa.float32(),
    pa.date64(): pa.date32(),
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}
_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")


def table_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema in the types that a table can have.

    The unnamed index of a pandas frame is no column and is left out.

    Raises
    ------
    SchemaError
        If a type has no counterpart, there is no column, or names repeat (case aside, as in SQL).
    """
    fields = [_field(field) for field in schema if not _UNNAMED_INDEX.fullmatch(field.name)]
    repeated = [name for name, count in Counter(field.name.lower() for field in fields).items() if count > 1]
    if repeated or not fields:
        raise SchemaError(
            f"columns named twice (case does not count): {', '.join(repeated)}" if repeated else "data has no columns"
        )
    return pa.schema(fields)


def convert(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Convert an array to a type of the table above, with every value kept.

    Raises
    ------
    pyarrow.ArrowInvalid
        If a value does not fit.
    """
    if is_.is_dictionary(array.type):
        # Arrow cannot decode a dictionary of views (Polars' categoricals) in one step.
        plain = convert(array.dictionary, target)
        return pa.DictionaryArray.from_arrays(array.indices, plain).cast(target)
    return array.cast(target, safe=True)


def stored_as(found: pa.DataType, target: pa.DataType) -> bool:
    """Tell whether a Parquet column that Arrow reads as `found` holds `target` in the way that tables do.

    Examples
    --------
    >>> stored_as(pa.large_string(), pa.string()), stored_as(pa.timestamp("ns"), TIMESTAMP)
    (True, False)
    """
    return bool(found == target or (_table_type(found) == target and not is_.is_primitive(found)))


def _field(field: pa.Field) -> pa.Field:
    found = _table_type(field.type)
    if found is None:
        raise SchemaError(
            f"column {field.name!r} has type {field.type}, which a table cannot hold",
            hint="cast it first, for example a duration to seconds as double",
        )
    return pa.field(field.name, found, nullable=field.nullable)


def _table_type(kind: pa.DataType) -> pa.DataType | None:
    if kind in _PLAIN:
        return kind
    if is_.is_timestamp(kind):
        return TIMESTAMP
    if is_.is_dictionary(kind):
        return _table_type(kind.value_type)
    if is_.is_decimal(kind):
        return pa.decimal128(kind.precision, kind.scale) if kind.precision <= 38 else None
    if is_.is_fixed_size_binary(kind):
        return pa.binary()
    return _WIDENED.get(kind) or _nested_type(kind)


def _nested_type(kind: pa.DataType) -> pa.DataType | None:
    if is_.is_map(kind):
        return pa.map_(_inner(kind.key_field).type, _inner(kind.item_field).type)
    if is_.is_struct(kind):
        return pa.struct([_inner(kind.field(i)) for i in range(kind.num_fields)])
    if any(is_list(kind) for is_list in _LISTS):
        return pa.list_(_inner(kind.value_field).with_name("element"))
    return None


def _inner(field: pa.Field) -> pa.Field:
    return _field(field).with_nullable(True)


_LISTS = (is_.is_list, is_.is_large_list, is_.is_fixed_size_list, is_.is_list_view, is_.is_large_list_view)
