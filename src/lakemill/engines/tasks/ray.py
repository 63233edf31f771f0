"""Tasks on Ray: each Ray worker keeps one child process and hands it the tasks that Ray places."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Any

import ray

from lakemill.core.errors import EngineError
from lakemill.core.records import ClusterSpec, Resources
from lakemill.engines.process import Limits, Worker, freeze
from lakemill.engines.ray_cluster import RayCluster
from lakemill.engines.tasks.base import Outcome, Task, TaskEngine, TaskFunction, in_flight, limits_of, supervise

RETRIES_OF_LOST_WORKERS = 3
SHARED_GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")


class RayTasks(TaskEngine):
    """Tasks placed by Ray, which also shares out fractions of CPUs and GPUs.

    Parameters
    ----------
    spec
        The cluster to connect to, or to start here.
    """

    kind = "ray"
    abilities = ("tasks", "feedback", "accelerators")
    spans_nodes = True
    extra = "ray"

    def __init__(self, spec: ClusterSpec | None = None) -> None:
        self._cluster = RayCluster(spec or ClusterSpec(kind="ray"))

    def slots(self, each: Resources) -> int:
        """Return how many tasks of that size run at once.

        Raises
        ------
        EngineError
            If no node has what one task asks for.
        """
        with self._cluster.use():
            fitting = [_fitting(node["Resources"], each) for node in ray.nodes() if node["Alive"]]
        if not sum(fitting):
            raise EngineError(
                f"no node of the Ray cluster has {each.cpus:g} CPUs, {each.gpus:g} GPUs and "
                f"{each.memory_bytes or 0:,} bytes for one task",
                hint="ask for less in Resources(...), or add a larger node",
            )
        return sum(fitting)

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
            function = ray.put(freeze(fn))
            remote = _run.options(
                num_cpus=each.cpus,
                num_gpus=each.gpus,
                memory=each.memory_bytes,
                max_retries=RETRIES_OF_LOST_WORKERS,
            )
            limits = limits_of(each, item_seconds)

            handed_out: dict[str, Any] = {}

            def submit(task: Task) -> Future[Outcome]:
                handed_out[task.key] = remote.remote(function, task, limits)
                future: Future[Outcome] = handed_out[task.key].future()
                return future

            try:
                for outcome in in_flight(submit, tasks, most=max_in_flight or 2 * self.slots(each)):
                    del handed_out[outcome.key]
                    yield outcome
            finally:
                for reference in handed_out.values() if self._cluster.running else ():
                    ray.cancel(reference, force=True)

    def close(self) -> None:
        """Disconnect, and stop the cluster if it was started here."""
        self._cluster.stop()


def _fitting(node: dict[str, float], each: Resources) -> int:
    asked = {"CPU": each.cpus, "GPU": each.gpus, "memory": each.memory_bytes or 0}
    return int(min(node.get(name, 0.0) / amount for name, amount in asked.items() if amount))


_workers: dict[tuple[Any, ...], Worker] = {}


@ray.remote
def _run(function: bytes, task: Task, limits: Limits) -> Outcome:
    return supervise(_own_worker(limits), function, task)


def _own_worker(limits: Limits) -> Worker:
    """Return the child of this Ray worker; another share of threads or GPUs needs another child."""
    key = (limits, *(os.environ.get(name) for name in SHARED_GPU_VARIABLES))
    if key not in _workers:
        for worker in _workers.values():
            worker.close()
        _workers.clear()
        _workers[key] = Worker(limits)
    return _workers[key]
