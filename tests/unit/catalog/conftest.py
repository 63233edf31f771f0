"""A catalog in a new folder, and what its tables hold by another library's reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import deltalake
import polars as pl
import pytest

from lakemill.catalog import Catalog
from lakemill.core.records import Context
from lakemill.metadata import Database


@pytest.fixture
def open_catalog(tmp_path: Path) -> Iterator[Callable[..., Catalog]]:
    opened: list[Database] = []

    def catalog(user: str = "ann", run_id: str = "run-1", task_key: str = "ingest") -> Catalog:
        opened.append(Database(f"sqlite:///{tmp_path}/metadata.db"))
        context = Context(user=user, run_id=run_id, task_key=task_key)
        return Catalog(root=str(tmp_path / "tables"), database=opened[-1], context=context)

    yield catalog
    for database in opened:
        database.close()


@pytest.fixture
def catalog(open_catalog) -> Catalog:
    return open_catalog()


@pytest.fixture
def held(catalog):
    """Return the rows of a table, as sorted tuples, read by delta-rs alone."""

    def rows(name: str, version: int | None = None) -> list[tuple]:
        table = deltalake.DeltaTable(catalog.info(name).location, version=version)
        return sorted(pl.DataFrame(table.scan()).rows(), key=repr)

    return rows
