"""What this machine and its task engines cost: measured, each engine in a process of its own."""

from __future__ import annotations

import os
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any, Final

import cloudpickle
import numpy as np
import psutil

from lakemill.core.errors import EngineError
from lakemill.core.planning import Ability, LaneCost, NodeType, within
from lakemill.core.records import ClusterSpec, Resources, record
from lakemill.engines.gangs import GANG_ENGINES
from lakemill.engines.process import Attempt, Call, Limits, Worker, freeze
from lakemill.engines.tasks import TASK_ENGINES, Task, TaskEngine

ROUNDS: Final = 3
TASKS_A_SLOT: Final = 8
BURNT: Final = 2_000_000
COPIED_BYTES: Final = 2**27
WRITTEN_BYTES: Final = 2**27
MATRIX: Final = 1024
# Shares by which one measurement was found to differ from the next on a shared virtual machine.
START_ERROR: Final = 0.35
TASK_ERROR: Final = 0.5
BYTES_ERROR: Final = 0.15


@record
class _Run:
    """What one engine did in its process."""

    start_seconds: float
    seconds_per_task: float
    held_bytes: int
    worker_bytes: int
    slots: int


def measure_node() -> NodeType:
    """Return this machine, as work finds it now; it costs nothing, for it is here."""
    cores = len(psutil.Process().cpu_affinity())
    return NodeType(
        name="this machine",
        cores=cores,
        memory_bytes=psutil.virtual_memory().available,
        flop_per_second=_flop_per_second(),
        memory_bytes_per_second=_copied_bytes_per_second(),
        disk_bytes_per_second=_disk_bytes_per_second(),
        slowdown_per_busy_core=in_a_process(_slowdown, cores),
        price_per_hour=0.0,
    )


def measure_lane(kind: str) -> LaneCost:
    """Start an engine, give it tasks that do nothing, and return what it took.

    Raises
    ------
    MissingExtraError
        If its package is not installed.
    EngineError
        If it does not start.
    """
    engine = TASK_ENGINES.load(kind)
    run: _Run = in_a_process(_run_lane, kind)
    return LaneCost(
        kind=kind,
        abilities=_abilities(kind, engine),
        start_seconds=within(run.start_seconds, START_ERROR),
        seconds_per_task=within(run.seconds_per_task, TASK_ERROR),
        driver_bytes=within(max(0, run.held_bytes - run.slots * run.worker_bytes), BYTES_ERROR),
        worker_bytes=within(run.worker_bytes, BYTES_ERROR),
        spans_nodes=engine.spans_nodes,
        extra=engine.extra,
    )


def _abilities(kind: str, engine: type[TaskEngine]) -> tuple[Ability, ...]:
    gangs: tuple[Ability, ...] = ("gangs",) if kind in GANG_ENGINES.kinds() else ()
    return (*gangs, *engine.abilities)


def in_a_process(function: Callable[[Any, Attempt], Any], payload: Any) -> Any:
    """Return what a function returns in a fresh process, which ends with it.

    Raises
    ------
    EngineError
        If it fails there.
    """
    with Worker(Limits()) as worker:
        reply = worker.call(Call(function=freeze(function), payload=cloudpickle.dumps(payload)))
    if fault := reply.failure or reply.loss:
        raise EngineError(f"the measurement failed: {fault.message}")
    return pickle.loads(reply.value)


def _run_lane(kind: str, _attempt: Attempt) -> _Run:
    engine, started = TASK_ENGINES.build({"kind": kind, "spec": ClusterSpec(kind=kind)}), time.perf_counter()
    slots = engine.slots(Resources())
    _hand_out(engine, slots)
    start_seconds = time.perf_counter() - started
    rounds = [_hand_out(engine, TASKS_A_SLOT * slots) for _ in range(ROUNDS)]
    held = _held_bytes()
    engine.close()
    return _Run(
        start_seconds=start_seconds,
        seconds_per_task=statistics.median(seconds for seconds, _ in rounds) / TASKS_A_SLOT,
        held_bytes=held,
        worker_bytes=max(peak for _, peak in rounds),
        slots=slots,
    )


def _hand_out(engine: TaskEngine, number: int) -> tuple[float, int]:
    """Return the seconds of so many empty tasks, and the largest of their processes."""
    started = time.perf_counter()
    outcomes = list(engine.map_tasks(_nothing, (Task(key=str(n), payload=n) for n in range(number)), each=Resources()))
    failures = [outcome.failure.message for outcome in outcomes if outcome.failure is not None]
    if failures:
        raise EngineError(failures[0])
    return time.perf_counter() - started, max(outcome.peak_bytes for outcome in outcomes)


def _nothing(_payload: object, _attempt: Attempt) -> None:
    """Import what every fit of tables has in memory."""
    import pandas  # noqa: F401, ICN001
    import pyarrow  # noqa: F401, ICN001


def _held_bytes() -> int:
    """Return what this process and all that it started hold, shared memory counted once."""
    own = psutil.Process()
    return sum(process.memory_full_info().pss for process in (own, *own.children(recursive=True)))


def _slowdown(cores: int, _attempt: Attempt) -> float:
    """Return by what share each further busy core slows down all of them."""
    if cores == 1:
        return 0.0
    engine = TASK_ENGINES.build({"kind": "local", "spec": ClusterSpec()})
    _burn_together(engine, cores)  # its children start
    pairs = [(_burn_together(engine, 1), _burn_together(engine, cores)) for _ in range(2 * ROUNDS)]
    engine.close()
    return max(0.0, statistics.median(many / one for one, many in pairs) - 1) / (cores - 1)


def _burn_together(engine: TaskEngine, number: int) -> float:
    tasks = (Task(key=str(n), payload=BURNT) for n in range(number))
    return statistics.fmean(outcome.value for outcome in engine.map_tasks(_burn, tasks, each=Resources()))


def _burn(rounds: int, _attempt: Attempt) -> float:
    started, total = time.perf_counter(), 0.0
    for number in range(rounds):
        total += number % 7.0
    return time.perf_counter() - started


def _flop_per_second() -> float:
    """Return what all cores together reach on a product of matrices in single precision."""
    matrix = np.random.default_rng(0).random((MATRIX, MATRIX), dtype=np.float32)
    return 2 * MATRIX**3 / _least_seconds(lambda: matrix @ matrix)


def _copied_bytes_per_second() -> float:
    source = np.ones(COPIED_BYTES, dtype=np.uint8)
    target = np.zeros_like(source)
    return COPIED_BYTES / _least_seconds(lambda: np.copyto(target, source))


def _disk_bytes_per_second() -> float:
    """Return the speed of a file where engines spill, written through, forgotten by the system and read again."""
    block = np.random.default_rng(0).bytes(WRITTEN_BYTES)
    with tempfile.TemporaryFile(buffering=0) as file:
        started = time.perf_counter()
        file.write(block)
        os.fsync(file)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        file.read()
        return 2 * WRITTEN_BYTES / (time.perf_counter() - started)


def _least_seconds(work: Callable[[], object]) -> float:
    return min(seconds(work) for _ in range(2 * ROUNDS))


def seconds(work: Callable[[], object]) -> float:
    """Return the wall-clock seconds of a call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
