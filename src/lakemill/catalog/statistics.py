"""How large a table is, from its log; how its rows fall into groups, from the columns that name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from lakemill.catalog.types import table_schema
from lakemill.core.records import record

TEXT_BYTES: Final = 24  # of a value whose width the schema does not tell: its text, its offset


@record
class TableSize:
    """Rows of a table, and their bytes: in its files, and in memory as the schema has it."""

    rows: int
    file_bytes: int
    memory_bytes: int


@record
class GroupSizes:
    """How many groups there are, and how many rows the largest has."""

    groups: int
    largest_rows: int


def size_of(table: DeltaTable, schema: pa.Schema) -> TableSize:
    """Return a table's size, without reading a row."""
    files = pa.table(table.get_add_actions(flatten=True))
    rows = table.count()
    return TableSize(
        rows=rows,
        file_bytes=pc.sum(files["size_bytes"]).as_py() or 0,
        memory_bytes=rows * sum(_width(field.type) for field in schema),
    )


def groups_of(table: DeltaTable, by: Sequence[str]) -> GroupSizes:
    """Return how the rows fall into groups; reads the columns of `by` alone."""
    keys = pa.table(table.scan(columns=list(by)))
    counts = keys.cast(table_schema(keys.schema)).group_by(list(by)).aggregate([([], "count_all")])["count_all"]
    return GroupSizes(groups=len(counts), largest_rows=pc.max(counts).as_py() or 0)


def _width(kind: pa.DataType) -> int:
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:  # of variable width
        return TEXT_BYTES
