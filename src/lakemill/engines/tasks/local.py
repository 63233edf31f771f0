"""Tasks on this machine: one thread per slot, each with a child process of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import psutil

from lakemill.core.errors import EngineError
from lakemill.core.records import ClusterSpec, Resources
from lakemill.engines.process import Worker, freeze
from lakemill.engines.tasks.base import Outcome, Task, TaskEngine, TaskFunction, in_flight, limits_of, supervise


class LocalTasks(TaskEngine):
    """A pool of child processes that survives a killed one and ends a hung one.

    Parameters
    ----------
    spec
        `num_workers` holds the number of tasks that run at once (0: as many as the cores take).
    """

    kind = "local"

    def __init__(self, spec: ClusterSpec | None = None) -> None:
        self.spec = spec or ClusterSpec()

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
        slots = self.slots(each)
        crew = _Crew(slots, freeze(fn), each, item_seconds)
        try:
            yield from in_flight(crew.submit, tasks, most=max_in_flight or 2 * slots)
        finally:
            crew.close()

    def close(self) -> None:
        """Do nothing: child processes live only as long as `map_tasks`."""


class _Crew:
    """Threads with one worker each."""

    def __init__(self, slots: int, function: bytes, each: Resources, item_seconds: float | None) -> None:
        self._function = function
        self._limits = limits_of(each, item_seconds)
        self._own = threading.local()
        self._workers: list[Worker] = []
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="lakemill-task", initializer=self._join)

    def submit(self, task: Task) -> Future[Outcome]:
        return self._threads.submit(self._run, task)

    def close(self) -> None:
        """End every child, also in the middle of a task nobody waits for any more."""
        for worker in self._workers:
            worker.retire()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.close()

    def _join(self) -> None:
        self._own.worker = Worker(self._limits)
        self._workers.append(self._own.worker)

    def _run(self, task: Task) -> Outcome:
        return supervise(self._own.worker, self._function, task)
