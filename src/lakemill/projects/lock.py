"""One runner at a time on a workspace: whoever holds the lock works, others wait.

The lock is one that the system frees when its holder dies, however it dies: a lock on a file
beside the workspace's database, or an advisory lock in PostgreSQL, where runners may be on several
machines. So whoever gets it knows that nobody else is at work.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import sqlalchemy as sa

from lakemill.core.errors import StorageError
from lakemill.core.records import record, to_json, utc_now

CHECK_SECONDS: Final = 0.2
_GLANCE_SECONDS: Final = 0.05
_ADVISORY_LOCK: Final = 0x1A4E_3112
_NAME_BYTES: Final = 63  # PostgreSQL cuts longer application names


@record
class Holder:
    """The runner that holds the lock, as it signed; empty before it has."""

    run_id: str = ""
    process: str = ""
    since: str = ""

    def __str__(self) -> str:
        """Say who it is."""
        return f"run {self.run_id} ({self.process}, since {self.since})"


class RunnerLock(ABC):
    """The lock of a workspace; a context manager that gives it back."""

    def __enter__(self) -> Self:
        """Return the lock, not yet taken."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back."""
        self.close()

    def wait(self, tell: Callable[[Holder], None]) -> None:
        """Take the lock as soon as it is free, telling who holds it whenever that changes."""
        told = Holder()
        while not self.take():
            holder = self.holder()
            if holder not in (told, Holder()):
                tell(holder)
                told = holder
            time.sleep(CHECK_SECONDS)

    @abstractmethod
    def take(self) -> bool:
        """Take the lock if nobody holds it, and return whether it is ours."""

    @abstractmethod
    def is_held(self) -> bool:
        """Return whether a live runner, not this one, holds the lock."""

    @abstractmethod
    def sign(self, run_id: str) -> None:
        """Tell others who holds the lock, and for which run."""

    @abstractmethod
    def holder(self) -> Holder:
        """Return who holds the lock."""

    @abstractmethod
    def close(self) -> None:
        """Give the lock back."""


class FileLock(RunnerLock):
    """A lock on a file.

    Parameters
    ----------
    path
        The file; it stays, and tells who holds the lock.

    Raises
    ------
    StorageError
        If the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise StorageError(
                f"cannot open the runner's lock {path}: {error.strerror}",
                hint="make the workspace's folder writable for this user",
            ) from error

    def take(self) -> bool:
        """Take the lock if nobody holds it, and return whether it is ours."""
        if not self._lock(fcntl.LOCK_EX):
            time.sleep(_GLANCE_SECONDS)  # somebody may just be looking whether it is held
            if not self._lock(fcntl.LOCK_EX):
                return False
        self._file.truncate(0)  # the signature of whoever held it before
        return True

    def is_held(self) -> bool:
        """Return whether a live runner, not this one, holds the lock."""
        if not self._lock(fcntl.LOCK_SH):
            return True
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return False

    def sign(self, run_id: str) -> None:
        """Tell others who holds the lock, and for which run."""
        process = f"process {os.getpid()} on {socket.gethostname()}"
        since = utc_now().astimezone().isoformat(sep=" ", timespec="seconds")
        with suppress(OSError):  # a full disk: the lock holds without a signature
            self._file.write(to_json(Holder(run_id=run_id, process=process, since=since)).encode())

    def holder(self) -> Holder:
        """Return who holds the lock."""
        self._file.seek(0)
        try:
            return Holder(**json.loads(self._file.read()))
        except ValueError:  # it is about to sign
            return Holder()

    def close(self) -> None:
        """Give the lock back."""
        self._file.close()

    def _lock(self, mode: int) -> bool:
        try:
            fcntl.flock(self._file, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class PostgresLock(RunnerLock):
    """An advisory lock of a PostgreSQL database, held by a session that tells who holds it.

    Parameters
    ----------
    url
        The database: one workspace.
    """

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        self._session = self._engine.connect()

    def take(self) -> bool:
        """Take the lock if nobody holds it, and return whether it is ours."""
        return bool(self._session.execute(sa.select(sa.func.pg_try_advisory_lock(_ADVISORY_LOCK))).scalar())

    def is_held(self) -> bool:
        """Return whether a live runner, not this one, holds the lock."""
        return bool(self._session.execute(_HOLDER).all())

    def sign(self, run_id: str) -> None:
        """Tell others who holds the lock, and for which run."""
        name = f"{run_id} {os.getpid()}@{socket.gethostname()}"[:_NAME_BYTES]
        self._session.execute(sa.select(sa.func.set_config("application_name", name, sa.false())))

    def holder(self) -> Holder:
        """Return who holds the lock."""
        row = self._session.execute(_HOLDER).first()
        if row is None or "@" not in row.application_name:
            return Holder()
        run_id, _, process = row.application_name.partition(" ")
        return Holder(run_id=run_id, process=f"process {process}", since=f"{row.backend_start:%Y-%m-%d %H:%M:%S%z}")

    def close(self) -> None:
        """Give the lock back."""
        self._session.close()
        self._engine.dispose()


_HOLDER: Final = sa.text(
    "SELECT application_name, backend_start FROM pg_stat_activity JOIN pg_locks USING (pid)"
    " WHERE locktype = 'advisory' AND classid = 0 AND objid = :key AND pg_locks.database = pg_stat_activity.datid"
    " AND granted AND pid <> pg_backend_pid()"
).bindparams(key=_ADVISORY_LOCK)
