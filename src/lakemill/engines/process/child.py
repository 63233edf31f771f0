"""The child's side: take calls from the parent, one by one, until it goes."""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import resource
import signal
import sys
import traceback
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import cloudpickle

from lakemill.engines.process.attempt import Attempt, Failure
from lakemill.engines.process.worker import Reply, thaw

PR_SET_PDEATHSIG: Final = 1
MAX_MESSAGE: Final = 2_000
MAX_TRACEBACK: Final = 50_000


def main() -> None:
    """Serve calls on the connection whose descriptor is the first argument."""
    _die_with(int(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    connection = Connection(int(sys.argv[1]))
    while True:
        try:
            function, payload, losses = connection.recv()
        except (EOFError, ConnectionError):
            return
        connection.send(_answer(function, payload, Attempt(losses, connection.send)))


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went before the line above
        sys.exit(1)


def _answer(function: bytes, payload: bytes, attempt: Attempt) -> Reply:
    _reset_peak()
    try:
        value = cloudpickle.dumps(_function(function)(pickle.loads(payload), attempt))
    except Exception as error:  # noqa: BLE001  user code may raise anything
        return Reply(failure=describe(error), peak_bytes=_peak_bytes())
    return Reply(value=value, peak_bytes=_peak_bytes())


def describe(error: BaseException) -> Failure:
    """Turn an exception into a record, with its traceback; both of bounded length and fit to be stored."""
    try:
        message = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  the error's own code may fail as well
        message = f"{type(error).__name__}: its text could not be made"
    text = _storable("".join(traceback.format_exception(error)))
    return Failure(kind="exception", message=_storable(message)[:MAX_MESSAGE], traceback=text[-MAX_TRACEBACK:])


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


@lru_cache(maxsize=8)
def _function(blob: bytes) -> Any:
    return thaw(blob)


def _reset_peak() -> None:
    gc.collect(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, so each call has its own peak
    except OSError:
        return


def _peak_bytes() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
