"""Keep what others write to the terminal out of a drawing: libraries in C, and child processes."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_CHUNK_BYTES: Final = 1 << 16
_CHECK_SECONDS: Final = 0.1
_STANDARD: Final = (1, 2)


@contextmanager
def captured(say: Callable[[str], None]) -> Iterator[None]:
    """Hand every line that is written to standard output or standard error to `say`."""
    reading, writing = os.pipe()
    saved = [os.dup(descriptor) for descriptor in _STANDARD]
    _redirect([writing, writing])
    os.close(writing)
    stop = threading.Event()
    reader = threading.Thread(target=_read, args=(reading, say, stop), daemon=True)
    reader.start()
    try:
        yield
    finally:
        _redirect(saved)
        stop.set()
        reader.join()
        for descriptor in (*saved, reading):
            os.close(descriptor)


def _redirect(targets: list[int]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    for descriptor, target in zip(_STANDARD, targets, strict=True):
        os.dup2(target, descriptor)


def _read(reading: int, say: Callable[[str], None], stop: threading.Event) -> None:
    rest = b""
    while chunk := _chunk(reading, stop):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            say(_visible(line))
    if rest:
        say(_visible(rest))


def _chunk(reading: int, stop: threading.Event) -> bytes:
    """Return what comes next, nothing at the end; a process left behind may hold the pipe open for ever."""
    while not select.select([reading], [], [], _CHECK_SECONDS)[0]:
        if stop.is_set():
            return b""
    return os.read(reading, _CHUNK_BYTES)


def _visible(line: bytes) -> str:
    """Return what a terminal would show of a line that returns to its start, as progress bars do."""
    return line.decode(errors="replace").rstrip("\r").rpartition("\r")[2]
