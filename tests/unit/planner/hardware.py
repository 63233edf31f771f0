"""Lanes and machines that the tests of the planner share; the figures are round, not measured."""

from __future__ import annotations

from lakemill.core.planning import Cluster, LaneCost, NodeType, exact, within
from lakemill.planner import ManyFits

GIB = 2**30

PROCESS = LaneCost(
    kind="process",
    abilities=("frames", "tasks", "gangs", "feedback", "accelerators"),
    start_seconds=exact(0.5),
    worker_bytes=within(3e8, 0.1),
    one_worker=True,
)
LOCAL = LaneCost(
    kind="local",
    abilities=("frames", "tasks", "gangs", "feedback"),
    start_seconds=within(2, 0.3),
    seconds_per_task=within(1e-3, 0.5),
    worker_bytes=within(3e8, 0.1),
)
RAY = LaneCost(
    kind="ray",
    abilities=("tasks", "gangs", "feedback", "accelerators"),
    start_seconds=within(7, 0.2),
    seconds_per_task=within(5e-3, 0.5),
    seconds_per_byte=within(2e-9, 0.5),
    driver_bytes=within(1e9, 0.2),
    worker_bytes=within(4e8, 0.1),
    spans_nodes=True,
    extra="ray",
)
SPARK = LaneCost(
    kind="spark",
    abilities=("frames", "tasks"),
    start_seconds=within(12, 0.2),
    seconds_per_task=within(2e-2, 0.5),
    seconds_per_byte=within(3e-9, 0.5),
    driver_bytes=within(2e9, 0.2),
    worker_bytes=within(5e8, 0.1),
    work_factor=exact(1.2),
    spans_nodes=True,
    extra="spark",
)
LANES = (PROCESS, LOCAL, RAY, SPARK)

HERE = Cluster(node=NodeType(name="here", cores=2, memory_bytes=8 * GIB, price_per_hour=0.0))
SMALL = Cluster(
    node=NodeType(name="small", cores=8, memory_bytes=32 * GIB, price_per_hour=0.4),
    max_nodes=8,
    start_seconds=within(120, 0.3),
)
BIG = Cluster(
    node=NodeType(name="big", cores=64, memory_bytes=256 * GIB, memory_bytes_per_second=1e11, price_per_hour=3.5),
    start_seconds=within(120, 0.3),
)
ACCELERATED = Cluster(
    node=NodeType(
        name="accelerated",
        cores=96,
        memory_bytes=1000 * GIB,
        accelerators=8,
        accelerator_memory_bytes=80 * GIB,
        accelerator_flop_per_second=3e14,
        accelerator_bytes_per_second=3e11,
        network_bytes_per_second=5e10,
        price_per_hour=30.0,
    ),
    max_nodes=8,
    start_seconds=within(120, 0.3),
)


def many(fits: int = 4000, seconds: float = 0.03, **others) -> ManyFits:
    """Return the facts of many small fits."""
    figures = {"rows": 1_000_000, "bytes": 9_000_000, "peak_bytes_per_fit": within(1e8, 0.2), **others}
    return ManyFits(fits=fits, seconds_per_fit=within(seconds, 0.1), **figures)
