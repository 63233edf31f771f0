"""The tables of the metadata database, by the room that owns them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

NAMING = {"ix": "ix_%(table_name)s_%(column_0_N_name)s", "uq": "uq_%(table_name)s", "pk": "pk_%(table_name)s"}


class UtcDateTime(TypeDecorator[datetime]):
    """An instant, stored and returned in UTC also where the database has no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """Write in UTC; a time without a zone is a fault of the caller."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"a stored time needs a time zone, got {value!r}")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Read as UTC."""
        if value is None:
            return None
        stored: datetime = value
        return stored.replace(tzinfo=UTC) if stored.tzinfo is None else stored.astimezone(UTC)


metadata = MetaData(naming_convention=NAMING)

# --- catalog ---

tables = Table(
    "tables",
    metadata,
    Column("name", Text, primary_key=True),
    Column("location", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("primary_keys", JSON, nullable=False),
    Column("timeseries_column", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", Text, nullable=False),
)

table_tags = Table(
    "table_tags",
    metadata,
    Column("table_name", ForeignKey("tables.name", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

table_access = Table(
    "table_access",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("table_name", ForeignKey("tables.name", ondelete="CASCADE"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("task_key", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("table_name", "kind", "version", "run_id", "task_key", "user"),
    Index(None, "run_id"),
)

group_sizes = Table(
    "group_sizes",
    metadata,
    Column("table_name", ForeignKey("tables.name", ondelete="CASCADE"), primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("by", Text, primary_key=True),  # the columns in order of name, as JSON
    Column("groups", BigInteger, nullable=False),
    Column("largest_rows", BigInteger, nullable=False),
)

# --- workspace ---

past_work = Table(
    "past_work",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("work", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("workers", Integer, nullable=False),
    Column("items", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("item_seconds", Float, nullable=False),
    Column("peak_bytes", BigInteger, nullable=False),
    Column("stages", JSON, nullable=False, server_default="{}"),  # seconds by stage
    Column("money", Float),
    Column("prediction", JSON),
    Column("at", UtcDateTime, nullable=False),
    Index(None, "work"),
)

# --- projects ---

job_runs = Table(
    "job_runs",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("job", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("work", Text, nullable=False),  # names job, target and parameters: equal work, equal name
    Column("definition", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Index(None, "created_at"),
)

task_runs = Table(
    "task_runs",
    metadata,
    Column("run_id", ForeignKey("job_runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("task_key", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("status", Text, nullable=False),
    Column("engines", JSON, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("peak_bytes", BigInteger, nullable=False),
    Column("message", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("traceback", Text, nullable=False),
    Column("log", Text, nullable=False),
)
