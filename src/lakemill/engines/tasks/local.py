"""Tasks on this machine: one thread per slot, each with a child process of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import psutil

from lakemill.core.errors import EngineError
from lakemill.core.records import ClusterSpec, Resources
from lakemill.engines.idle import IdleStop
from lakemill.engines.process import Limits, Worker, freeze
from lakemill.engines.tasks.base import Outcome, Task, TaskEngine, TaskFunction, in_flight, limits_of, supervise


class LocalTasks(TaskEngine):
    """A pool of child processes that survives a killed one and ends a hung one.

    Parameters
    ----------
    spec
        `num_workers` holds the number of tasks that run at once (0: as many as the cores take).
    """

    kind = "local"
    abilities = ("tasks", "feedback")

    def __init__(self, spec: ClusterSpec | None = None) -> None:
        self.spec = spec or ClusterSpec()
        self._crews = _Crews(self.spec.autotermination_minutes)

    def slots(self, each: Resources) -> int:
        """Return how many tasks of that size run at once.

        Raises
        ------
        EngineError
            If one task asks for more than this machine has.
        """
        cores = self.spec.num_workers or len(psutil.Process().cpu_affinity())
        by_memory = psutil.virtual_memory().total // (each.memory_bytes or 1)
        fitting = min(int(cores / each.cpus), by_memory)
        if fitting < 1 or each.gpus:
            raise EngineError(
                f"a task asks for {each.cpus:g} CPUs, {each.gpus:g} GPUs and {each.memory_bytes or 0:,} bytes; "
                f"kind local has {cores} cores, no GPU slots and {psutil.virtual_memory().total:,} bytes",
                hint="ask for less in Resources(...), or choose engine ray or spark",
            )
        return fitting

    def map_tasks(
        self,
        fn: TaskFunction,
        tasks: Iterable[Task],
        *,
        each: Resources,
        item_seconds: float | None = None,
        max_in_flight: int | None = None,
    ) -> Iterator[Outcome]:
        """Run the tasks; see `TaskEngine.map_tasks`."""
        slots, function = self.slots(each), freeze(fn)
        with self._crews.hired(slots, limits_of(each, item_seconds)) as crew:
            yield from in_flight(partial(crew.submit, function), tasks, most=max_in_flight or 2 * slots)

    def close(self) -> None:
        """End the child processes that wait for the next call."""
        self._crews.stop()


class _Crews(IdleStop):
    """Keeps the crew of the last call for the next one, until it has been idle for long."""

    def __init__(self, idle_minutes: float) -> None:
        super().__init__(idle_minutes)
        self._kept: _Crew | None = None

    @contextmanager
    def hired(self, slots: int, limits: Limits) -> Iterator[_Crew]:
        """Give a crew that nobody else has; one whose work was broken off is not used again."""
        with self.use():
            crew = self._take(slots, limits)
            try:
                yield crew
            except BaseException:
                crew.close()
                raise
            self._keep(crew)

    def _take(self, slots: int, limits: Limits) -> _Crew:
        with self._lock:
            crew, self._kept = self._kept, None
        if crew is not None and (crew.slots, crew.limits) == (slots, limits):
            return crew
        if crew is not None:
            crew.close()
        return _Crew(slots, limits)

    def _keep(self, crew: _Crew) -> None:
        with self._lock:
            other, self._kept = self._kept, crew
        if other is not None:
            other.close()

    def _start(self) -> None:
        """Do nothing: the first call hires."""

    def _stop(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None


class _Crew:
    """Threads with one worker each."""

    def __init__(self, slots: int, limits: Limits) -> None:
        self.slots = slots
        self.limits = limits
        self._own = threading.local()
        self._workers: list[Worker] = []
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="lakemill-task", initializer=self._join)

    def submit(self, function: bytes, task: Task) -> Future[Outcome]:
        return self._threads.submit(self._run, function, task)

    def close(self) -> None:
        """End every child, also in the middle of a task nobody waits for any more."""
        for worker in self._workers:
            worker.retire()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.close()

    def _join(self) -> None:
        self._own.worker = Worker(self.limits)
        self._workers.append(self._own.worker)

    def _run(self, function: bytes, task: Task) -> Outcome:
        return supervise(self._own.worker, function, task)
