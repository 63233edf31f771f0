"""A Delta table at one version, if its data files alone say what it holds."""

from __future__ import annotations

from deltalake import DeltaTable

from lakemill.catalog.log import Log
from lakemill.core.records import Context, TableRef


def open_table(ref: TableRef) -> DeltaTable:
    """Open a table at the version of `ref`.

    Raises
    ------
    NotFoundError
        If the table does not have that version.
    UnsupportedError
        If another writer has switched on what readers of plain Parquet files would miss.
    StorageError
        If its folder or log cannot be read.
    """
    return Log(ref.location, name=ref.name, context=Context(user="")).open(ref.version)
