"""What the catalog tells about tables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from lakemill.core.errors import ConfigError
from lakemill.core.records import record


@record
class TableInfo:
    """What the catalog knows of a table beside its data."""

    name: str
    location: str
    comment: str
    tags: Mapping[str, str]
    primary_keys: tuple[str, ...]
    timeseries_column: str | None
    created_at: datetime
    created_by: str


@record
class Commit:
    """One version of a table: who made it, how, in which run, and the writer's own figures."""

    version: int
    timestamp: datetime
    operation: str
    user: str
    run_id: str
    metrics: Mapping[str, Any]


@record
class Access:
    """One edge of lineage: a run's task read or wrote a table at a version, first at that time."""

    kind: Literal["read", "write"]
    table: str
    version: int
    run_id: str
    task_key: str
    user: str
    at: datetime


@record
class CommitKey:
    """What makes a commit idempotent: a writer commits each sequence number to a table once.

    Parameters
    ----------
    writer
        Names the writer for ever, such as a run's id.
    sequence
        Rises from commit to commit of one writer to one table; a number at or below the last one
        committed is a repetition and changes nothing.
    """

    writer: str
    sequence: int

    def __post_init__(self) -> None:
        """Refuse keys that name nothing."""
        if not self.writer or self.sequence < 0:
            raise ConfigError(f"a commit key needs a writer and a sequence >= 0, got {self}")


@record
class DataFile:
    """A Parquet file below a table's folder: its path there, its size, its rows."""

    path: str
    size_bytes: int
    num_rows: int
