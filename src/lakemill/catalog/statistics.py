"""How large a table is, from its log; how its rows fall into groups, from the columns that name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from lakemill.catalog.schemas import arrow_stream, quoted
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
    """Return a table's size, without reading a row; where the log has no statistics, rows are in the files' footers."""
    files = arrow_stream(table.get_add_actions(flatten=True)).read_all()
    rows = _rows(table, files)
    return TableSize(
        rows=rows,
        file_bytes=sum(files["size_bytes"].to_pylist()),
        memory_bytes=rows * sum(_width(field.type) for field in schema),
    )


def _rows(table: DeltaTable, files: pa.Table) -> int:
    known = files["num_records"].to_pylist() if "num_records" in files.column_names else [None] * files.num_rows
    if None not in known:
        return sum(known)
    counted = arrow_stream(QueryBuilder().register("t", table).execute("select count(*) as n from t")).read_all()
    return int(counted["n"][0].as_py())


def groups_of(table: DeltaTable, by: Sequence[str]) -> GroupSizes:
    """Return how the rows fall into groups; delta-rs counts them, and reads the columns of `by` alone."""
    keys = ", ".join(map(quoted, by))
    query = f"select count(*) as groups, max(n) as largest from (select count(*) as n from t group by {keys}) as counts"
    (found,) = arrow_stream(QueryBuilder().register("t", table).execute(query)).read_all().to_pylist()
    return GroupSizes(groups=found["groups"], largest_rows=found["largest"] or 0)


def _width(kind: pa.DataType) -> int:
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:  # of variable width
        return TEXT_BYTES
