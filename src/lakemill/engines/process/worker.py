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
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any, Final, Self

import cloudpickle

from lakemill.core.errors import EngineError
from lakemill.core.records import record
from lakemill.engines.process.attempt import Failure, Loss
from lakemill.engines.process.hand import SIZE, Hand

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


def freeze(value: Any) -> bytes:
    """Pickle a value or function by value, with the import path of this process."""
    return pickle.dumps((sys.path, cloudpickle.dumps(value)))


def thaw(blob: bytes) -> Any:
    """Undo `freeze`, also where the module that defines the value is only on the sender's path."""
    path, value = pickle.loads(blob)
    sys.path.extend(entry for entry in path if entry not in sys.path)
    return pickle.loads(value)


def too_large(item: str, used: int, limit: int) -> Loss | None:
    """Return the loss of an item whose process used more bytes than it may, else None."""
    if used <= limit:
        return None
    return Loss(kind="memory", item=item, message=f"used {used / 2**20:,.0f} MiB, allowed {limit / 2**20:,.0f} MiB")


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
        self._hand: Hand | None = None
        self._sent: bytes | None = None
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
        connection, hand = self._ensure()
        before = hand.look().number
        function = None if call.function == self._sent else call.function  # it may hold much; the child keeps the last
        connection.send((function, call.payload, call.losses, self.limits.memory_bytes))
        self._sent = call.function
        return self._watch(connection, _Item(hand, before))

    def close(self) -> None:
        """End the child, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        for shared in (self._connection, self._hand):
            if shared is not None:
                shared.close()
        self._process = self._connection = self._hand = self._sent = None

    def retire(self) -> None:
        """End the child from another thread, and start no other."""
        self._retired = True
        if self._process is not None:
            self._process.kill()

    def _ensure(self) -> tuple[Connection, Hand]:
        if self._retired:
            raise EngineError("the worker was retired in the middle of its task")
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._start()
        assert self._connection is not None
        assert self._hand is not None
        return self._connection, self._hand

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs, TemporaryFile() as held:
            held.truncate(SIZE)
            shared = (theirs.fileno(), held.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lakemill.engines.process.child", *map(str, (*shared, os.getpid()))],
                pass_fds=shared,
                env=self._child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=2,  # the parent's stdout belongs to its own face
            )
            self._hand = Hand(held.fileno())
        self._connection = Connection(ours.detach())

    def _child_environment(self) -> dict[str, str]:
        threads = dict.fromkeys(THREAD_VARIABLES, str(self.limits.threads))
        path = {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
        return {**os.environ, **path, **threads, **self.environment}

    def _watch(self, connection: Connection, item: _Item) -> Reply:
        while not connection.poll(CHECK_SECONDS):
            item.look()
            if loss := self._too_large(item) or self._too_long(item):
                self.close()
                return Reply(loss=loss)
        try:
            reply: Reply = connection.recv()
        except (EOFError, ConnectionError):
            return self._lost(item)
        if reply.loss is not None:
            self.close()
        return reply

    def _too_long(self, item: _Item) -> Loss | None:
        limit = self.limits.item_seconds
        if not item.name or limit is None or item.seconds <= limit:
            return None
        return Loss(kind="timeout", item=item.name, message=f"no result after {limit:g} s")

    def _too_large(self, item: _Item) -> Loss | None:
        limit = self.limits.memory_bytes
        return None if limit is None else too_large(item.name, self._resident_bytes(), limit)

    def _resident_bytes(self) -> int:
        assert self._process is not None
        with suppress(OSError), open(f"/proc/{self._process.pid}/statm", "rb") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * PAGE_BYTES
        return 0

    def _lost(self, item: _Item) -> Reply:
        assert self._process is not None
        code = self._process.wait()
        item.look()
        self.close()
        how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return Reply(loss=Loss(kind="killed", item=item.name, message=f"the worker process {how}"))


class _Item:
    """The item of a call that the child has in hand, and since when."""

    def __init__(self, hand: Hand, before: int) -> None:
        self._hand = hand
        self._count = before
        self._since = time.monotonic()
        self.name = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._since

    def look(self) -> None:
        """Restart the clock if the item is another one."""
        held = self._hand.look()
        if held.number != self._count:
            self._count, self.name, self._since = held.number, held.item, time.monotonic()
