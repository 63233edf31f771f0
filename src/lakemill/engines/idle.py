"""A cluster that starts when it is needed and stops when it has been idle for long."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager


class IdleStop(ABC):
    """Start on first use, stop after the idle minutes, start again with the next use.

    Parameters
    ----------
    idle_minutes
        Minutes without a user after which the cluster stops; 0 never stops it.
    """

    def __init__(self, idle_minutes: float) -> None:
        self._idle_seconds = idle_minutes * 60
        self._lock = threading.RLock()
        self._users = 0
        self._timer: threading.Timer | None = None
        self.running = False

    @contextmanager
    def use(self) -> Iterator[None]:
        """Hold the cluster open."""
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def stop(self) -> None:
        """Stop the cluster now, if it runs."""
        with self._lock:
            self._cancel()
            if self.running:
                try:
                    self._stop()
                finally:
                    self.running = False

    @abstractmethod
    def _start(self) -> None:
        """Start the cluster or connect to it."""

    @abstractmethod
    def _stop(self) -> None:
        """Stop what `_start` started."""

    def _enter(self) -> None:
        with self._lock:
            self._cancel()
            if not self.running:
                self._start()
                self.running = True
            self._users += 1

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users and self._idle_seconds:
                self._timer = threading.Timer(self._idle_seconds, self._stop_if_idle)
                self._timer.daemon = True
                self._timer.start()

    def _stop_if_idle(self) -> None:
        with self._lock:
            if not self._users:
                self.stop()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
