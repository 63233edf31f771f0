"""Tasks on Spark: short ones share a job of one partition, run by a child of the Python worker that gets it."""

from __future__ import annotations

import gc
import pickle
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from math import ceil
from threading import Lock
from typing import Any, Final

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote

from lakemill.core.errors import EngineError
from lakemill.core.records import ClusterSpec, Resources
from lakemill.engines.process import Limits, Worker, freeze, thaw
from lakemill.engines.spark_session import spark_cluster
from lakemill.engines.tasks.base import Outcome, Task, TaskEngine, TaskFunction, in_flight, limits_of, supervise

CANCEL_SECONDS: Final = 0.5
IN_FLIGHT_PER_SLOT: Final = 16
JOB_SECONDS: Final = 4.0


class SparkTasks(TaskEngine):
    """Tasks that Spark's scheduler places, one on each core.

    Parameters
    ----------
    spec
        The cluster to connect to, or to start here. Of a Connect server, `cpus_per_worker` says
        how many cores there are in all.

    Notes
    -----
    Spark hands out whole cores: a task that asks for a fraction of one gets one. A job takes Spark some
    90 ms of processor time, so short tasks share one, of 4 s at most by the seconds of those before; their
    outcomes come together.
    """

    kind = "spark"
    spans_nodes = True
    extra = "spark"

    def __init__(self, spec: ClusterSpec | None = None) -> None:
        self.spec = spec or ClusterSpec(kind="spark")
        self._cluster = spark_cluster(self.spec)

    def slots(self, each: Resources) -> int:
        """Return how many tasks of that size run at once.

        Raises
        ------
        EngineError
            If one task asks for more than the cluster has.
        """
        cores = self._cores()
        fitting = int(cores / max(1.0, each.cpus))
        if fitting < 1 or each.gpus:
            raise EngineError(
                f"a task asks for {each.cpus:g} CPUs and {each.gpus:g} GPUs; kind spark has {cores} cores, no GPU slots",
                hint="ask for less in Resources(...), or choose engine ray",
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
        with self._cluster.use():
            slots = self.slots(each)
            jobs = _Jobs(self._cluster.session, slots, freeze(fn), limits_of(each, item_seconds))
            try:
                yield from in_flight(jobs.submit, tasks, most=max_in_flight or IN_FLIGHT_PER_SLOT * slots)
            finally:
                jobs.close()

    def close(self) -> None:
        """Stop the cluster if it was started here and no other engine is at work on it."""
        self._cluster.stop_unless_used()

    def _cores(self) -> int:
        session = self._cluster.session
        if not is_remote():
            return int(session.sparkContext.defaultParallelism)
        if self.spec.cpus_per_worker is None:
            raise EngineError(
                f"the Connect server at {self.spec.address} does not tell how many cores it has",
                hint="set cpus_per_worker of the target's tasks to their number",
            )
        return self.spec.cpus_per_worker


class _Jobs:
    """Threads that each wait for one Spark job at a time."""

    def __init__(self, session: SparkSession, slots: int, function: bytes, limits: Limits) -> None:
        self._session = session
        self._slots = slots
        self._function = function
        self._limits = limits
        self._tag = f"lakemill-{uuid.uuid4()}"
        self._waiting: deque[tuple[Task, Future[Outcome]]] = deque()
        self._lock = Lock()
        self._task_seconds = JOB_SECONDS
        self._open: set[Future[None]] = set()
        tag, self._cancel = _tagging(session)
        self._threads = ThreadPoolExecutor(
            slots, thread_name_prefix="lakemill-spark", initializer=tag, initargs=(self._tag,)
        )

    def submit(self, task: Task) -> Future[Outcome]:
        outcome: Future[Outcome] = Future()
        self._waiting.append((task, outcome))
        job = self._threads.submit(self._run)
        self._open.add(job)
        job.add_done_callback(self._open.discard)
        return outcome

    def close(self) -> None:
        """End every job, also in the middle of a task nobody waits for any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        while wait(set(self._open), timeout=CANCEL_SECONDS).not_done:
            self._cancel(self._tag)
        self._threads.shutdown()

    def _run(self) -> None:
        taken = self._take()
        try:
            outcomes = self._job([task for task, _ in taken]) if taken else []
        except Exception as error:  # noqa: BLE001  whatever Spark raises, its tasks are lost
            for _, promised in taken:
                promised.set_exception(error)
            return
        for (_, promised), outcome in zip(taken, outcomes, strict=True):
            promised.set_result(outcome)

    def _take(self) -> list[tuple[Task, Future[Outcome]]]:
        """Take as many tasks as fill a job, and no more than leave the other slots enough to do."""
        with self._lock:
            share = ceil(len(self._waiting) / (2 * self._slots))
            number = min(share, max(1, int(JOB_SECONDS / self._task_seconds)))
            return [self._waiting.popleft() for _ in range(number)]

    def _job(self, tasks: Sequence[Task]) -> list[Outcome]:
        call = _supervised(freeze((self._function, tasks, self._limits)))
        rows = self._session.range(0, 1, 1, numPartitions=1).mapInArrow(call, "outcome binary").collect()
        outcomes: list[Outcome] = [pickle.loads(row["outcome"]) for row in rows]
        self._task_seconds = max(outcome.seconds for outcome in outcomes)
        return outcomes


def _tagging(session: SparkSession) -> tuple[Callable[[str], Any], Callable[[str], Any]]:
    """Return what tags the jobs of a thread, and what cancels the jobs of a tag from another thread."""
    if is_remote():
        return session.addTag, session.interruptTag
    context = session.sparkContext
    return context.addJobTag, context.cancelJobsWithTag


def _supervised(call: bytes) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return what runs the tasks of a job in Spark's Python worker."""

    def run(partition: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in partition:
            function, tasks, limits = thaw(call)
            worker = _own_worker(limits)
            yield pa.record_batch({"outcome": [pickle.dumps(supervise(worker, function, task)) for task in tasks]})

    return run


_workers: dict[Limits, Worker] = {}


def _own_worker(limits: Limits) -> Worker:
    """Return the child of this Python worker; other limits need another child."""
    if limits not in _workers:
        for worker in _workers.values():
            worker.close()
        _workers.clear()
        _workers[limits] = Worker(limits)
        gc.freeze()  # Spark's worker collects garbage after every job, 40 ms where all imports are looked through
    return _workers[limits]
