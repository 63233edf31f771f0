"""Many independent functions: what every task engine does."""

from __future__ import annotations

import pickle
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from typing import Any, ClassVar, Final

import cloudpickle

from lakemill.core.planning import Ability
from lakemill.core.records import Resources, record
from lakemill.engines.process import Attempt, Call, Failure, Limits, Loss, Worker

MAX_NAMELESS_LOSSES: Final = 2


@record
class Task:
    """One call: its key, and an argument that pickles and stays small."""

    key: str
    payload: Any


@record
class Outcome:
    """What a task came to: a small value, or the reason why there is none.

    Parameters
    ----------
    seconds
        Wall-clock seconds, all attempts together.
    peak_bytes
        Peak resident bytes of the process that ran the last attempt.
    attempts
        How often the function was started.
    """

    key: str
    value: Any = None
    failure: Failure | None = None
    seconds: float = 0.0
    peak_bytes: int = 0
    attempts: int = 1


TaskFunction = Callable[[Any, Attempt], Any]


class TaskEngine(ABC):
    """Many independent functions, one verb.

    Contract
    --------
    `map_tasks` yields exactly one `Outcome` per task, in the order in which they finish, and never
    raises for what a task did. The function runs in a child process whose threads and memory are
    held to its share; results that are large go to files, and the function returns a bounded
    manifest. A task may be started again after the loss of its process or machine, so the function
    must be idempotent. Tasks are drawn from the iterable only as there is room for them.

    Attributes
    ----------
    abilities
        What the planner may count on beside `tasks`: ``feedback`` where a task may depend on the outcome of
        those before it at little cost, ``accelerators`` where shares of GPUs are dealt out.
    spans_nodes
        Whether tasks reach beyond this machine.
    extra
        The optional package that it needs; empty for none.
    """

    kind: ClassVar[str]
    abilities: ClassVar[tuple[Ability, ...]] = ("tasks",)
    spans_nodes: ClassVar[bool] = False
    extra: ClassVar[str] = ""

    @abstractmethod
    def map_tasks(
        self,
        fn: TaskFunction,
        tasks: Iterable[Task],
        *,
        each: Resources,
        item_seconds: float | None = None,
        max_in_flight: int | None = None,
    ) -> Iterator[Outcome]:
        """Run ``fn(task.payload, attempt)`` for every task.

        Parameters
        ----------
        fn
            The function; it may name the item in hand by ``attempt.at(name)``.
        tasks
            The tasks; may be lazy and of any number.
        each
            What one task needs.
        item_seconds
            Wall-clock limit of one item, from ``attempt.at(name)`` to the next.
        max_in_flight
            Most tasks handed out at any time; default: twice what runs at once.
        """

    @abstractmethod
    def slots(self, each: Resources) -> int:
        """Return how many tasks of that size run at once."""

    @abstractmethod
    def close(self) -> None:
        """Release what the engine holds; the engine may be used again afterwards."""


def limits_of(each: Resources, item_seconds: float | None) -> Limits:
    """Return what the child process of one task may use."""
    return Limits(threads=each.threads, memory_bytes=each.memory_bytes, item_seconds=item_seconds)


def supervise(worker: Worker, function: bytes, task: Task) -> Outcome:
    """Run one task in a worker, again after each loss, until it replies or is hopeless."""
    payload, started = cloudpickle.dumps(task.payload), time.perf_counter()
    losses: tuple[Loss, ...] = ()
    while True:
        reply = worker.call(Call(function=function, payload=payload, losses=losses))
        failure = reply.failure
        if reply.loss is not None:
            losses = (*losses, reply.loss)
            failure = _hopeless(losses)
            if failure is None:
                continue
        return Outcome(
            key=task.key,
            value=reply.value,
            failure=failure,
            seconds=time.perf_counter() - started,
            peak_bytes=reply.peak_bytes,
            attempts=len(losses) + (reply.loss is None),
        )


def _hopeless(losses: tuple[Loss, ...]) -> Failure | None:
    """Give up where the function goes on with an item that has had its verdict."""
    last = losses[-1]
    same = sum(loss.item == last.item for loss in losses)
    if same > MAX_NAMELESS_LOSSES or (not last.item and (last.kind != "killed" or same >= MAX_NAMELESS_LOSSES)):
        return Failure(kind=last.kind, message=last.message)
    return None


def in_flight(submit: Callable[[Task], Future[Outcome]], tasks: Iterable[Task], *, most: int) -> Iterator[Outcome]:
    """Keep at most so many futures open and yield their outcomes as they finish."""
    source, waiting = iter(tasks), dict[Future[Outcome], str]()
    while True:
        for task in islice(source, most - len(waiting)):
            waiting[submit(task)] = task.key
        if not waiting:
            return
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            yield _outcome(future, waiting.pop(future))


def _outcome(future: Future[Outcome], key: str) -> Outcome:
    error = future.exception()
    if error is not None:
        failure = Failure(kind="lost", message=f"{type(error).__name__}: {error}".strip())
        return Outcome(key=key, failure=failure)
    outcome = future.result()
    value = pickle.loads(outcome.value) if outcome.failure is None else None
    return Outcome(
        key=key,
        value=value,
        failure=outcome.failure,
        seconds=outcome.seconds,
        peak_bytes=outcome.peak_bytes,
        attempts=outcome.attempts,
    )
