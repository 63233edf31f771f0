"""The parent's side: start a child, call it, watch it, end it."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Final, Self

import cloudpickle

from lakemill.core.errors import EngineError
from lakemill.core.records import record
from lakemill.engines.process.attempt import Failure, Loss

CHECK_SECONDS: Final = 0.05
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
)


@record
class Limits:
    """What a child process may use.

    Parameters
    ----------
    threads
        Threads of BLAS, OpenMP, numba and Polars.
    memory_bytes
        Resident bytes of the child, interpreter and libraries included; None: no limit.
    item_seconds
        Wall-clock seconds for one item, from `Attempt.at` to the next; loading the function and
        what it does outside items are not limited. None: no limit.
    """

    threads: int = 1
    memory_bytes: int | None = None
    item_seconds: float | None = None


@record
class Call:
    """One call: a frozen function, its argument and how earlier attempts ended."""

    function: bytes
    payload: bytes
    losses: tuple[Loss, ...] = ()


@record
class Reply:
    """What a call came to; `value` is frozen, so that a relay need not know its type."""

    value: bytes = b""
    failure: Failure | None = None
    loss: Loss | None = None
    peak_bytes: int = 0


@record
class At:
    """What a child says as it begins an item: its name, and the peak of memory up to then (0: not asked for)."""

    item: str
    peak_bytes: int


def freeze(value: Any) -> bytes:
    """Pickle a value or function by value, with the import path of this process."""
    return pickle.dumps((sys.path, cloudpickle.dumps(value)))


def thaw(blob: bytes) -> Any:
    """Undo `freeze`, also where the module that defines the value is only on the sender's path."""
    path, value = pickle.loads(blob)
    sys.path.extend(entry for entry in path if entry not in sys.path)
    return pickle.loads(value)


class Worker:
    """One child process, reused from call to call, replaced when it dies or is ended.

    Parameters
    ----------
    limits
        What the child may use.
    environment
        Further variables of the child's environment.

    Notes
    -----
    The child dies with the thread that started it (``PR_SET_PDEATHSIG``), so that SIGKILL of the
    parent leaves no orphan at work.
    """

    def __init__(self, limits: Limits, environment: Mapping[str, str] | None = None) -> None:
        self.limits = limits
        self.environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._retired = False

    def __enter__(self) -> Self:
        """Return the worker; its child starts with the first call."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the child."""
        self.close()

    def call(self, call: Call) -> Reply:
        """Run one call in the child and watch it until it replies or is ended.

        Raises
        ------
        EngineError
            If another thread has retired the worker.
        """
        connection = self._ensure()
        connection.send((call.function, call.payload, call.losses, self.limits.memory_bytes is not None))
        return self._watch(connection)

    def close(self) -> None:
        """End the child, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None

    def retire(self) -> None:
        """End the child from another thread, and start no other."""
        self._retired = True
        if self._process is not None:
            self._process.kill()

    def _ensure(self) -> Connection:
        if self._retired:
            raise EngineError("the worker was retired in the middle of its task")
        if self._process is None or self._process.poll() is not None or self._connection is None:
            self.close()
            self._start()
        assert self._connection is not None
        return self._connection

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lakemill.engines.process.child", str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                env=self._child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=2,  # the parent's stdout belongs to its own face
            )
        self._connection = Connection(ours.detach())

    def _child_environment(self) -> dict[str, str]:
        threads = dict.fromkeys(THREAD_VARIABLES, str(self.limits.threads))
        path = {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
        return {**os.environ, **path, **threads, **self.environment}

    def _watch(self, connection: Connection) -> Reply:
        item, since, check = "", time.monotonic(), 0.0
        while True:
            if connection.poll(CHECK_SECONDS):
                try:
                    message: Reply | At = connection.recv()
                except (EOFError, ConnectionError):
                    return self._lost(item)
                if loss := self._too_large(item, message.peak_bytes):
                    return self._ended(loss)
                if isinstance(message, Reply):
                    return message
                item, since = message.item, time.monotonic()
                if connection.poll():  # only the last item told of is in hand
                    continue
            if (now := time.monotonic()) >= check:
                check = now + CHECK_SECONDS
                if loss := self._too_long(item, now - since) or self._too_large(item, self._resident_bytes()):
                    return self._ended(loss)

    def _ended(self, loss: Loss) -> Reply:
        self.close()
        return Reply(loss=loss)

    def _too_long(self, item: str, seconds: float) -> Loss | None:
        limit = self.limits.item_seconds
        if not item or limit is None or seconds <= limit:
            return None
        return Loss(kind="timeout", item=item, message=f"no result after {limit:g} s")

    def _too_large(self, item: str, used: int) -> Loss | None:
        limit = self.limits.memory_bytes
        if limit is None or used <= limit:
            return None
        text = f"used {used / 2**20:,.0f} MiB, allowed {limit / 2**20:,.0f} MiB"
        return Loss(kind="memory", item=item, message=text)

    def _resident_bytes(self) -> int:
        assert self._process is not None
        with suppress(OSError), open(f"/proc/{self._process.pid}/statm", "rb") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * PAGE_BYTES
        return 0

    def _lost(self, item: str) -> Reply:
        assert self._process is not None
        code = self._process.wait()
        self.close()
        how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return Reply(loss=Loss(kind="killed", item=item, message=f"the worker process {how}"))
