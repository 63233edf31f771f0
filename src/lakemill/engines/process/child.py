"""The child's side: take calls from the parent, one by one, until it goes."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any, Final, Never

import cloudpickle

from lakemill.engines.process.attempt import Attempt, Failure
from lakemill.engines.process.hand import Hand
from lakemill.engines.process.life import die_with, peak_bytes, reset_peak
from lakemill.engines.process.worker import Reply, thaw, too_large

MAX_MESSAGE: Final = 2_000
MAX_TRACEBACK: Final = 50_000


def main() -> None:
    """Serve calls; the arguments are descriptors of the connection and of the hand, and the parent's id."""
    die_with(int(sys.argv[3]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    connection, hand = Connection(int(sys.argv[1])), Hand(int(sys.argv[2]))
    function = b""
    while True:
        try:
            other, payload, losses, memory_bytes = connection.recv()
        except (EOFError, ConnectionError):
            return
        function = function if other is None else other
        items = _Items(connection, hand, memory_bytes)
        reply = _answer(function, payload, Attempt(losses, items.take))
        items.check()
        connection.send(reply)


class _Items:
    """Takes up item after item; ends this process where one was too large, however short a time it was."""

    def __init__(self, connection: Connection, hand: Hand, memory_bytes: int | None) -> None:
        self._connection = connection
        self._hand = hand
        self._limit = memory_bytes
        self._last = ""

    def take(self, item: str) -> None:
        self.check()
        self._hand.take(item)
        self._last = item

    def check(self) -> None:
        """Look at the peak, where it matters: it takes the kernel as long as all else together."""
        if self._limit is not None and (loss := too_large(self._last, peak_bytes(), self._limit)):
            self._end(Reply(loss=loss))

    def _end(self, reply: Reply) -> Never:
        self._connection.send(reply)
        os._exit(1)


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


@lru_cache(maxsize=1)
def _function(blob: bytes) -> Any:
    return thaw(blob)


if __name__ == "__main__":
    main()
