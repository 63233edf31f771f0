"""The child's side: take calls from the parent, one by one, until it goes."""

from __future__ import annotations

import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any, Final

import cloudpickle

from lakemill.engines.process.attempt import Attempt, Failure
from lakemill.engines.process.life import die_with, peak_bytes, reset_peak
from lakemill.engines.process.worker import At, Reply, thaw

MAX_MESSAGE: Final = 2_000
MAX_TRACEBACK: Final = 50_000


def main() -> None:
    """Serve calls on the connection whose descriptor is the first argument."""
    die_with(int(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    connection = Connection(int(sys.argv[1]))
    while True:
        try:
            function, payload, losses, limited = connection.recv()
        except (EOFError, ConnectionError):
            return
        connection.send(_answer(function, payload, Attempt(losses, _announcer(connection, limited=limited))))


def _announcer(connection: Connection, *, limited: bool) -> Callable[[str], None]:
    """Return what tells the parent of an item; the peak takes the kernel as long as all else together."""
    return lambda item: connection.send(At(item=item, peak_bytes=peak_bytes() if limited else 0))


def _answer(function: bytes, payload: bytes, attempt: Attempt) -> Reply:
    reset_peak()
    try:
        value = cloudpickle.dumps(_function(function)(pickle.loads(payload), attempt))
    except Exception as error:  # noqa: BLE001  user code may raise anything
        return Reply(failure=describe(error), peak_bytes=peak_bytes())
    return Reply(value=value, peak_bytes=peak_bytes())


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


if __name__ == "__main__":
    main()
