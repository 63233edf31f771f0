"""One runner at a time on a workspace: whoever holds the lock works, others wait."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from lakemill.core.errors import StorageError
from lakemill.core.records import record, utc_now

CHECK_SECONDS: Final = 0.2


@record
class Holder:
    """The runner that holds the lock."""

    run_id: str = ""
    pid: int = 0
    host: str = ""
    since: str = ""

    def __str__(self) -> str:
        """Say who it is."""
        return f"run {self.run_id} (process {self.pid} on {self.host}, since {self.since})"


class RunnerLock:
    """A lock on a file, released by the system when its holder dies, however it dies.

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
            self._file = path.open("a+")
        except OSError as error:
            raise StorageError(
                f"cannot open the runner's lock {path}: {error.strerror}",
                hint="make the workspace's folder writable for this user",
            ) from error

    def __enter__(self) -> Self:
        """Return the lock, not yet taken."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back."""
        self._file.close()

    def take(self) -> bool:
        """Take the lock if nobody holds it, and return whether it is ours."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._file.truncate(0)  # the signature of whoever held it before
        return True

    def wait(self, tell: Callable[[Holder], None]) -> None:
        """Take the lock as soon as it is free, telling who holds it whenever that changes."""
        told = None
        while not self.take():
            holder = self.holder()
            if holder.pid and holder != told:
                tell(holder)
                told = holder
            time.sleep(CHECK_SECONDS)

    def sign(self, run_id: str) -> None:
        """Tell others who holds the lock, and for which run."""
        since = utc_now().astimezone().isoformat(sep=" ", timespec="seconds")
        json.dump({"run_id": run_id, "pid": os.getpid(), "host": socket.gethostname(), "since": since}, self._file)
        self._file.flush()

    def holder(self) -> Holder:
        """Return who signed last: the present holder, if the lock is held."""
        self._file.seek(0)
        try:
            return Holder(**json.load(self._file))
        except ValueError:  # it is about to sign
            return Holder()


def is_held(path: Path) -> bool:
    """Return whether a live runner holds the lock on a file."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
