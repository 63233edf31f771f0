"""Connections to the metadata database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, ProgrammingError

from lakemill.core.errors import ConfigError, StorageError
from lakemill.metadata import upgrade

BUSY_SECONDS = 60


class Database:
    """The metadata of one workspace, at the newest schema as soon as it is open.

    Processes and threads may share a database: writers take turns, readers never wait for them.
    Opening one whose schema is current loads no Alembic.

    Parameters
    ----------
    url
        ``sqlite:////path/metadata.db`` (the folder is made) or ``postgresql://user@host/name``.

    Raises
    ------
    ConfigError
        If the URL names neither SQLite nor PostgreSQL, or a newer Lakemill wrote the database.
    StorageError
        If the database cannot be reached, written or read.
    """

    def __init__(self, url: str) -> None:
        self.url = _parse(url)
        self._engine = _engine(self.url)
        self._writer = self._engine.execution_options(writing=True)
        try:
            with _storage_errors(self.url):
                upgrade.to_head(self._engine)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a connection to read from."""
        with _storage_errors(self.url), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a connection whose changes become one: all at the end, none after an exception.

        Writers of SQLite take turns from the start, so what one has read stays true until it writes.
        """
        with _storage_errors(self.url), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection; the database may be used again afterwards."""
        self._engine.dispose()


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except ArgumentError as error:
        raise ConfigError(f"not a database URL: {url!r}", hint="sqlite:////path/metadata.db") from error
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise ConfigError(
            f"metadata needs SQLite or PostgreSQL, got {parsed.get_backend_name()!r}",
            hint="sqlite:////path/metadata.db or postgresql://user@host/name",
        )
    return parsed


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "postgresql":
        return sa.create_engine(url, pool_pre_ping=True)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    sa.event.listen(engine, "connect", _configure_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    if url.database:
        _make_folder(url)
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:
    # The driver's own implicit transactions would start too late and miss DDL.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin_sqlite(connection: sa.Connection) -> None:
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _make_folder(url: sa.URL) -> None:
    try:
        Path(url.database or "").absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _storage_error(url, error) from error


@contextmanager
def _storage_errors(url: sa.URL) -> Iterator[None]:
    try:
        yield
    except (IntegrityError, ProgrammingError):
        raise
    except DatabaseError as error:
        raise _storage_error(url, error.orig or error) from error


def _storage_error(url: sa.URL, error: BaseException) -> StorageError:
    where = url.render_as_string(hide_password=True)
    return StorageError(f"metadata database {where}: {str(error).strip()}", hint=_hint(error))


def _hint(error: BaseException) -> str:
    text = str(error).lower()
    for sign, hint in _HINTS.items():
        if sign in text:
            return hint
    return "check that the database can be reached and written by this user"


_HINTS = {
    "not a database": "that file is something else: name another, or move it away",
    "full": "make room on the disk and try again; nothing was changed",
    "no space": "make room on the disk and try again; nothing was changed",
    "readonly": "make the file and its folder writable for this user",
    "read-only": "make the file and its folder writable for this user",
    "permission": "make the folder writable for this user",
    "unable to open": "make the folder writable for this user",
    "connection": "is the database server running, and the URL right?",
    "locked": f"another process has written for {BUSY_SECONDS} s; see who holds the file",
}
