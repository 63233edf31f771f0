"""A Delta table at one version, if its data files alone say what it holds."""

from __future__ import annotations

from urllib.parse import unquote

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


def data_files(table: DeltaTable) -> list[str]:
    """Return the paths, or the URIs in an object store, of a table's data files."""
    # delta-rs quotes local paths as if they were URIs.
    return [uri if "://" in uri else unquote(uri) for uri in table.file_uris()]
