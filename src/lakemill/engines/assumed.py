"""What engines are taken to cost where they were not measured: wide, and marked as assumed."""

from __future__ import annotations

from typing import Final

from lakemill.core.errors import ConfigError
from lakemill.core.planning import Interval, LaneCost

# Bounds of what was seen on shared virtual machines, and beyond them by about a half.
_LANES: Final = (
    LaneCost(
        kind="local",
        abilities=("tasks", "feedback"),
        start_seconds=Interval(value=1.0, low=0.3, high=4.0),
        seconds_per_task=Interval(value=0.005, low=0.001, high=0.05),
        driver_bytes=Interval(value=2**28, low=2**27, high=2**29),
        worker_bytes=Interval(value=2**28, low=2**26, high=2**29),
        assumed=True,
    ),
    LaneCost(
        kind="ray",
        abilities=("tasks", "feedback", "accelerators"),
        start_seconds=Interval(value=8.0, low=3.0, high=25.0),
        seconds_per_task=Interval(value=0.006, low=0.001, high=0.02),
        driver_bytes=Interval(value=0.6e9, low=0.3e9, high=1.5e9),
        worker_bytes=Interval(value=1.2e8, low=0.8e8, high=4e8),
        spans_nodes=True,
        extra="ray",
        assumed=True,
    ),
    LaneCost(
        kind="spark",
        abilities=("tasks",),
        start_seconds=Interval(value=15.0, low=5.0, high=60.0),
        seconds_per_task=Interval(value=0.1, low=0.02, high=0.6),
        driver_bytes=Interval(value=0.8e9, low=0.4e9, high=2e9),
        worker_bytes=Interval(value=1.2e8, low=0.8e8, high=4e8),
        spans_nodes=True,
        extra="spark",
        assumed=True,
    ),
    LaneCost(
        kind="local",
        abilities=("frames",),
        start_seconds=Interval(value=0.1, low=0.03, high=0.5),
        seconds_per_task=Interval(value=0.05, low=0.02, high=0.3),
        seconds_per_byte=Interval(value=1e-8, low=3e-9, high=5e-8),
        driver_bytes=Interval(value=2**28, low=2**27, high=2**29),
        spills=True,
        threads=True,
        assumed=True,
    ),
    LaneCost(
        kind="spark",
        abilities=("frames",),
        start_seconds=Interval(value=15.0, low=5.0, high=60.0),
        seconds_per_task=Interval(value=2.0, low=0.5, high=8.0),
        seconds_per_byte=Interval(value=5e-8, low=1e-8, high=3e-7),
        driver_bytes=Interval(value=0.9e9, low=0.5e9, high=2e9),
        work_factor=Interval(value=6.0, low=2.0, high=12.0),
        spills=True,
        threads=True,
        spans_nodes=True,
        extra="spark",
        assumed=True,
    ),
)
KINDS: Final = tuple(dict.fromkeys(lane.kind for lane in _LANES))


def assumed_lanes(kind: str) -> tuple[LaneCost, ...]:
    """Return what an engine is taken to cost: a lane for its tasks, and one for its frames if it has them.

    Raises
    ------
    ConfigError
        If nothing is known of it.
    """
    if kind not in KINDS:
        raise ConfigError(
            f"nobody knows what engine {kind!r} costs; assumed are {', '.join(KINDS)}",
            hint="install it here, and `lakemill hardware --again`",
        )
    return tuple(lane for lane in _LANES if lane.kind == kind)
