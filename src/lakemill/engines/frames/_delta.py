"""The Parquet files that make up a Delta table at one version."""

from __future__ import annotations

import pyarrow as pa
from deltalake import DeltaTable

from lakemill.core.errors import UnsupportedError
from lakemill.core.records import TableRef


def files_of(ref: TableRef) -> tuple[list[str], pa.Schema]:
    """Return the files' URIs and the table's schema.

    Raises
    ------
    UnsupportedError
        If the table is partitioned: its files lack the partition's columns.
    """
    table = DeltaTable(ref.location, version=ref.version)
    if partitions := table.metadata().partition_columns:
        raise UnsupportedError(
            f"table {ref.name} is partitioned by {', '.join(partitions)}, which only its writer can read fast",
            hint="write it into a table of this catalog, which keeps rows together by statistics instead",
        )
    return table.file_uris(), pa.schema(table.schema().to_arrow())
