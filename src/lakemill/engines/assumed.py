"""What engines are taken to cost where they were not measured: wide, and marked as assumed."""

from __future__ import annotations

from collections.abc import Mapping
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
        abilities=("frames", "tasks"),
        start_seconds=Interval(value=15.0, low=5.0, high=60.0),
        seconds_per_task=Interval(value=0.1, low=0.02, high=0.6),
        driver_bytes=Interval(value=0.8e9, low=0.4e9, high=2e9),
        worker_bytes=Interval(value=1.2e8, low=0.8e8, high=4e8),
        spans_nodes=True,
        extra="spark",
        assumed=True,
    ),
)
ASSUMED: Final[Mapping[str, LaneCost]] = {lane.kind: lane for lane in _LANES}


def assumed_lane(kind: str) -> LaneCost:
    """Return what an engine is taken to cost.

    Raises
    ------
    ConfigError
        If nothing is known of it.
    """
    if kind not in ASSUMED:
        raise ConfigError(
            f"nobody knows what engine {kind!r} costs; assumed are {', '.join(ASSUMED)}",
            hint="install it here, and `lakemill hardware --again`",
        )
    return ASSUMED[kind]
