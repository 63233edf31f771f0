"""What this machine's frame engines cost: the same join, total and copy on each, in a process of its own."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Final

import numpy as np
import pyarrow as pa

from lakemill.catalog import Catalog
from lakemill.core.planning import LaneCost, exact, within
from lakemill.core.records import ClusterSpec, Context, record
from lakemill.engines.frames import FRAME_ENGINES, AsOf, Frame, FrameEngine
from lakemill.engines.measure import in_a_process, seconds
from lakemill.engines.process import Attempt, peak_bytes_of_all
from lakemill.metadata import Database

PLAIN: Final = "local"  # whose work is the measure of the others'
ROWS: Final = 1_000_000  # seconds of work in the slowest engine, well beyond its first query
FEW: Final = 1_000
ROWS_OF_A_KEY: Final = 50
ROUNDS: Final = 3
INSTANTS: Final = 10**12  # microseconds of 12 days
ON: Final = AsOf(keys=(("key", "key"),), spine_time="at", feature_time="at", columns=(("value", "feature"),))
TOTALS: Final = "select count(*) as n, sum(value) as value, sum(feature) as feature from joined"
# Shares by which one measurement was found to differ from the next on a shared virtual machine.
START_ERROR: Final = 0.35
JOB_ERROR: Final = 0.5
COPY_ERROR: Final = 0.4
BYTES_ERROR: Final = 0.15
# The relation of two engines' times depends on the query: joins and totals differ that much.
FACTOR_ERROR: Final = 0.4


@record
class FrameTimes:
    """What one engine did on all cores.

    Parameters
    ----------
    start_seconds
        Until the first answer, and what the first join takes longer than the second.
    job_seconds
        Of the second join of few rows, written to a table.
    join_seconds
        Of a join of many rows and totals over it, read from tables.
    copy_seconds, copied_bytes
        Of a table read and written, and its bytes in memory.
    peak_bytes
        Of all its processes, before there were many rows.
    """

    start_seconds: float
    job_seconds: float
    join_seconds: float
    copy_seconds: float
    copied_bytes: int
    peak_bytes: int


def time_frames(kind: str, *, rows: int = ROWS) -> FrameTimes:
    """Start a frame engine and time it on tables made for it.

    Parameters
    ----------
    kind
        Of the engine.
    rows
        Of each side of the join.

    Raises
    ------
    MissingExtraError
        If its package is not installed.
    EngineError
        If it does not start.
    """
    FRAME_ENGINES.load(kind)
    with tempfile.TemporaryDirectory(prefix="lakemill-measure-") as folder:
        asked = kind, folder, rows
        in_a_process(_fill, asked)  # apart, so that the engine's process uses everything for the first time
        times: FrameTimes = in_a_process(_timed, asked)
        return times


def frame_lane(kind: str, times: FrameTimes, *, beside: FrameTimes) -> LaneCost:
    """Return the cost of a frame engine; its work is measured by that of another, which counts as plain."""
    engine = FRAME_ENGINES.load(kind)
    factor = times.join_seconds / beside.join_seconds
    return LaneCost(
        kind=kind,
        abilities=("frames",),
        start_seconds=within(times.start_seconds, START_ERROR),
        seconds_per_task=within(times.job_seconds, JOB_ERROR),
        seconds_per_byte=within(times.copy_seconds / times.copied_bytes, COPY_ERROR),
        driver_bytes=within(times.peak_bytes, BYTES_ERROR),
        work_factor=exact(1.0) if times is beside else within(factor, FACTOR_ERROR),
        spills=engine.spills,
        threads=True,
        spans_nodes=engine.spans_nodes,
        extra=engine.extra,
    )


def _fill(asked: tuple[str, str, int], _attempt: Attempt) -> None:
    """Write both tables of each join."""
    _, folder, rows = asked
    with _catalog(folder) as catalog:
        for number in (FEW, rows):
            for seed, name in enumerate(_names(number)):
                catalog.write(name, _rows(number, seed=seed))


def _timed(asked: tuple[str, str, int], _attempt: Attempt) -> FrameTimes:
    kind, folder, rows = asked
    engine = FRAME_ENGINES.build({"kind": kind, "spec": ClusterSpec(kind=kind)})
    with _catalog(folder) as catalog, closing(engine):
        return _times(engine, catalog, rows)


@contextmanager
def _catalog(folder: str) -> Iterator[Catalog]:
    with closing(Database(f"sqlite:///{folder}/metadata.db")) as database:
        yield Catalog(root=f"{folder}/tables", database=database, context=Context(user="measure"))


def _times(engine: FrameEngine, catalog: Catalog, rows: int) -> FrameTimes:
    start = seconds(lambda: _read(engine, engine.sql("select 1 as n", {})))
    cold, warm = (
        seconds(lambda: engine.write(_joined(engine, catalog, FEW), catalog, name="main.m.joined")) for _ in range(2)
    )
    bare, spine = peak_bytes_of_all(), catalog.ref(_names(rows)[0])
    return FrameTimes(
        start_seconds=start + max(0.0, cold - warm),
        job_seconds=warm,
        join_seconds=_median_seconds(
            lambda: _read(engine, engine.sql(TOTALS, {"joined": _joined(engine, catalog, rows)}))
        ),
        copy_seconds=_median_seconds(lambda: engine.write(engine.scan(spine), catalog, name="main.m.copy")),
        copied_bytes=catalog.size(spine).memory_bytes,
        peak_bytes=bare,
    )


def _names(rows: int) -> tuple[str, str]:
    return f"main.m.spine_{rows}", f"main.m.features_{rows}"


def _rows(number: int, *, seed: int) -> pa.Table:
    """Return rows of a key, an instant and a value; both are spread evenly."""
    random = np.random.default_rng(seed)
    at = pa.array(random.integers(0, INSTANTS, number), pa.timestamp("us", tz="UTC"))
    return pa.table(
        {"key": random.integers(0, number // ROWS_OF_A_KEY, number), "at": at, "value": random.random(number)}
    )


def _joined(engine: FrameEngine, catalog: Catalog, rows: int) -> Frame:
    spine, features = (engine.scan(catalog.ref(name)) for name in _names(rows))
    return engine.asof_join(spine, features, on=ON)


def _read(engine: FrameEngine, frame: Frame) -> None:
    engine.to_arrow(frame).read_all()


def _median_seconds(work: Callable[[], object]) -> float:
    return statistics.median(seconds(work) for _ in range(ROUNDS))
