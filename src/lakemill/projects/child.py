"""The runner's side of a task's process: start it, listen to it, end it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

from lakemill.core.errors import StorageError
from lakemill.core.events import Emit
from lakemill.engines.process import peak_bytes
from lakemill.projects.protocol import Line, Outcome, TaskSpec, read_line, write_spec

CHECK_SECONDS: Final = 0.1
EXIT_SECONDS: Final = 30.0
_CHUNK_BYTES: Final = 1 << 16
_LOG_LINES: Final = 20


def run_in_child(
    spec: TaskSpec, *, timeout_seconds: float, log: Path, emit: Emit, stop: threading.Event
) -> Outcome | None:
    """Run one attempt at a task in a process of its own.

    Parameters
    ----------
    spec
        The attempt.
    timeout_seconds
        Seconds after which the process and all that it started are killed; 0 sets no limit.
    log
        File that takes what the process prints.
    emit
        Receives progress.
    stop
        Once it is set the process is killed.

    Returns
    -------
    Outcome or None
        None if it was stopped.
    """
    deadline = time.monotonic() + timeout_seconds if timeout_seconds else float("inf")
    with _Child(spec, log) as child:
        while not stop.is_set():
            gone = child.gone  # asked before reading: its last words are still in the pipe
            lines = child.lines()
            for line in lines:
                if line.outcome is not None:
                    child.leave()
                    return line.outcome
                if line.event is not None:
                    emit(line.event)
            if gone and not lines:
                return Outcome(status="failed", error=child.epitaph(), traceback=_tail(log), engines={})
            if time.monotonic() > deadline:
                error = f"no result after {timeout_seconds:g} s: its process was killed"
                return Outcome(status="timed_out", error=error, peak_bytes=child.peak(), engines={})
    return None


class _Child:
    """A process that dies with the thread that started it, and takes its own with it."""

    def __init__(self, spec: TaskSpec, log: Path) -> None:
        self._reading, writing = os.pipe()
        self._rest = b""
        try:
            self._process = _start(spec, log, descriptor=writing)
        except OSError as error:
            os.close(self._reading)
            raise StorageError(f"cannot start the process of task {spec.task_key!r}: {error}") from error
        finally:
            os.close(writing)
        self._poll = select.poll()
        self._poll.register(self._reading, select.POLLIN)
        self._tell(write_spec(spec))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()
        os.close(self._reading)

    @property
    def gone(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def lines(self) -> list[Line]:
        """Return what the process has said, waiting a little for it."""
        if not self._poll.poll(CHECK_SECONDS * 1000):
            return []
        chunk = os.read(self._reading, _CHUNK_BYTES)
        if not chunk:  # it closed its end: it is on its way out
            self._wait(CHECK_SECONDS)
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        return [read_line(line) for line in whole]

    def leave(self) -> None:
        """Let the process end by itself, within reason."""
        self._wait(EXIT_SECONDS)

    def epitaph(self) -> str:
        """Return how the process ended."""
        code = self._process.wait()
        if code == -signal.SIGKILL:
            return "its process was killed (SIGKILL), as the system does when memory runs out"
        return (
            f"its process died of {signal.Signals(-code).name}" if code < 0 else f"its process ended with code {code}"
        )

    def peak(self) -> int:
        """Return the largest resident memory of the process or of one that it started."""
        return max((peak_bytes(process.pid) for process in self._family()), default=0)

    def _tell(self, text: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(text)

    def _wait(self, seconds: float) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def _family(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self._process.pid)
            return [parent, *parent.children(recursive=True)]
        return []

    def _kill(self) -> None:
        for process in self._family():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # also those whose parent went before
        self._process.wait()


def _start(spec: TaskSpec, log: Path, *, descriptor: int) -> subprocess.Popen[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "lakemill.projects.task", str(descriptor), str(os.getpid())],
            cwd=spec.settings.project_dir,
            pass_fds=[descriptor],
            start_new_session=True,  # Ctrl-C is the runner's to handle
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
        )


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
