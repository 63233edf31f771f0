"""Bring a database to the newest schema, once, whoever opens it first."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TextIO

import sqlalchemy as sa

from lakemill.core.errors import ConfigError, StorageError

MIGRATIONS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 0x1A4E_3111
_TURN = threading.Lock()  # Alembic's operations are global to a process


def head() -> str:
    """Return the newest revision that this package knows.

    Examples
    --------
    >>> len(head())
    4
    """
    return max(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def to_head(engine: sa.Engine) -> None:
    """Apply the missing migrations, under a lock that other processes wait for.

    Raises
    ------
    ConfigError
        If a newer package wrote the database.
    """
    if _is_current(engine):
        return
    with _TURN, _lock(engine), engine.connect() as connection:
        _migrate(connection)
        connection.commit()


def _is_current(engine: sa.Engine) -> bool:
    with engine.begin() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return False
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if found is not None and found > head():
        raise ConfigError(
            f"the metadata database is at revision {found}, this Lakemill knows revisions up to {head()}",
            hint="pip install --upgrade lakemill",
        )
    return found == head()


@contextmanager
def _lock(engine: sa.Engine) -> Iterator[None]:
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            yield
    elif engine.url.database:
        with _file_lock(engine.url.database):
            _write_ahead(engine)
            yield
    else:
        yield


@contextmanager
def _file_lock(database: str) -> Iterator[None]:
    with _lock_file(database) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _lock_file(database: str) -> TextIO:
    try:
        return Path(f"{database}.lock").open("w")
    except OSError as error:
        raise StorageError(
            f"metadata database {database}: {error}", hint="make its folder writable for this user"
        ) from error


def _write_ahead(engine: sa.Engine) -> None:
    # Outside a transaction: SQLite refuses the change within one.
    with closing(engine.raw_connection()) as connection:
        connection.cursor().execute("PRAGMA journal_mode = WAL")


def _migrate(connection: sa.Connection) -> None:
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(MIGRATIONS))
    steps = {"fn": lambda revision, _context: script._upgrade_revs("head", revision)}  # noqa: SLF001
    context = MigrationContext.configure(connection, opts=steps)
    with Operations.context(context), context.begin_transaction():
        context.run_migrations()
