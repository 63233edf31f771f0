"""MLflow's client of one store: opened whole, quiet, its failures told as ours."""

from __future__ import annotations

import logging
import os
import threading
import urllib.error
import urllib.request
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from lakemill.core.errors import (
    AlreadyExistsError,
    ConfigError,
    ConflictError,
    LakemillError,
    NotFoundError,
    StorageError,
)

SERVERS = ("http", "https")
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
ANSWER_SECONDS = 10

_ours: ContextVar[bool] = ContextVar("lakemill_calls_mlflow", default=False)
_SQL = "\n[SQL"
_SQLITE_HEADER = b"SQLite format 3\0"
_KINDS: dict[str, type[LakemillError]] = {
    "RESOURCE_DOES_NOT_EXIST": NotFoundError,
    "NOT_FOUND": NotFoundError,
    "RESOURCE_ALREADY_EXISTS": AlreadyExistsError,
    "INVALID_PARAMETER_VALUE": ConfigError,
}
_CONFLICTS = ("unique constraint", "duplicate entry", "0 were matched")
_HINTS = {
    "out-of-date database schema": "back it up, then run `mlflow db upgrade URI`",
    "can't locate revision": "a newer MLflow wrote this database: upgrade MLflow here",
    "readonly": "make the file and its folder writable for this user",
    "is full": "make room on the disk and try again",
    "no space": "make room on the disk and try again",
    "too large": "make room on the disk and try again",
    "disk i/o error": "is the disk full, or failing? make room and try again",
    "permission denied": "make the folder writable for this user",
    "unable to open": "make the folder writable for this user",
}


class Client:
    """MLflow's own client, opened on first use, each call of which is quiet and raises our errors.

    Parameters
    ----------
    tracking_uri
        The store; a SQLite file that is not there yet is made.
    artifacts
        Where a new store keeps artifacts.

    Raises
    ------
    ConfigError
        If the URI names no store; on first use, if it names a file that is no SQLite database.
    StorageError
        On use, if the store cannot be reached, read or written, or its schema is another MLflow's.
    """

    def __init__(self, tracking_uri: str, artifacts: str) -> None:
        self.tracking_uri = _checked(tracking_uri)
        self.artifacts = artifacts

    def __getattr__(self, name: str) -> Any:
        """Return a method of MLflow's client."""
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*arguments: Any, **options: Any) -> Any:
            with mlflow_calls(self.tracking_uri):
                return getattr(self._client, name)(*arguments, **options)

        return call

    @property
    def is_server(self) -> bool:
        """Whether an MLflow server stands between us and the store."""
        return self.tracking_uri.partition(":")[0] in SERVERS

    @cached_property
    def _client(self) -> Any:
        if self.is_server:
            _knock(self.tracking_uri)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
            from mlflow import MlflowClient

            if self.tracking_uri.startswith("sqlite"):
                _ensure_sqlite(self.tracking_uri, self.artifacts)
            return MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)


@contextmanager
def mlflow_calls(where: str) -> Iterator[None]:
    """Keep MLflow from chatting, and turn what it and its database raise into our errors."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a project at work calls nobody
    from mlflow.exceptions import MlflowException

    for name in _Chatter.loggers:
        logging.getLogger(name).addFilter(_CHATTER)
    token = _ours.set(True)
    try:
        with _SWITCHES:
            yield
    except MlflowException as error:
        raise _translated(error.error_code, str(error), where) from error
    except SQLAlchemyError as error:
        raise _translated("", str(getattr(error, "orig", None) or error), where) from error
    except OSError as error:
        if isinstance(error, LakemillError):
            raise
        raise _translated("", f"{error.filename or ''}: {error.strerror or error}", where) from error
    finally:
        _ours.reset(token)


class _Chatter(logging.Filter):
    """Drops what MLflow tells while we call it; the user's own calls keep their log."""

    loggers = ("mlflow.store.db.utils", "mlflow.store.model_registry.abstract_store", "mlflow.pyfunc")

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep warnings, except of database errors, which are raised as well."""
        told_twice = record.name == "mlflow.store.db.utils" or record.levelno < logging.WARNING
        return not (_ours.get() and told_twice)


class _Switches:
    """Turns progress bars and printed links off while any call of ours is under way, in any thread."""

    off: ClassVar[dict[str, str]] = {
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self._before: dict[str, str] = {}

    def __enter__(self) -> None:
        with self._lock:
            if self._calls == 0:
                self._before = {name: os.environ[name] for name in self.off if name in os.environ}
                os.environ.update(self.off)
            self._calls += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._calls -= 1
            if self._calls == 0:
                for name in self.off:
                    os.environ.pop(name, None)
                os.environ.update(self._before)


_CHATTER, _SWITCHES = _Chatter(), _Switches()


def _checked(tracking_uri: str) -> str:
    with suppress(ArgumentError):
        url = make_url(tracking_uri)
        kind = url.drivername.partition("+")[0]
        in_memory = kind == "sqlite" and url.database in (None, "", ":memory:")
        if kind in (*SERVERS, *DATABASES) and not in_memory:
            return tracking_uri
    raise ConfigError(
        f"tracking names a SQLite file, a database or an MLflow server, got {tracking_uri!r}",
        hint="sqlite:////path/mlflow.db, postgresql://user@host/name or https://mlflow.example.org",
    )


def _translated(code: str, text: str, where: str) -> LakemillError:
    hint = next((hint for sign, hint in _HINTS.items() if sign in text.lower()), "")
    message = f"MLflow at {_shown(where)}: {text.partition(_SQL)[0].strip()}"
    if code not in _KINDS and any(sign in text.lower() for sign in _CONFLICTS):
        return ConflictError(message, hint="another process wrote the same at that moment; do it again")
    return _KINDS.get(code, StorageError)(message, hint=hint)


def _shown(where: str) -> str:
    with suppress(ArgumentError):
        return make_url(where).render_as_string(hide_password=True)
    return where


def _knock(tracking_uri: str) -> None:
    """Ask a server once, since MLflow itself would go on asking a dead one for minutes."""
    try:
        urllib.request.urlopen(f"{tracking_uri.rstrip('/')}/health", timeout=ANSWER_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError as answer:
        answer.close()
    except OSError as error:
        raise StorageError(
            f"no MLflow server answers at {_shown(tracking_uri)}: {getattr(error, 'reason', error)}",
            hint="is it running, and the address right?",
        ) from error


def _ensure_sqlite(tracking_uri: str, artifacts: str) -> None:
    path = Path(str(make_url(tracking_uri).database))
    if not path.exists():
        _make_sqlite(path, artifacts)
    with path.open("rb") as file:
        if file.read(len(_SQLITE_HEADER)) != _SQLITE_HEADER:
            raise ConfigError(f"{path} is not an SQLite database", hint="name another file, or move that one away")


def _make_sqlite(path: Path, artifacts: str) -> None:
    """Make the database beside its place and put it there whole."""
    # MLflow's dozens of migrations stand neither a kill nor a second process that makes the same file.
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        fresh.touch(exist_ok=False)
        SqlAlchemyStore(f"sqlite:///{fresh}", artifacts).engine.dispose()
        with suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
