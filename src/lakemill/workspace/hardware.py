"""What the machine was found to be, kept for plans that must not wait."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from lakemill.core.errors import EngineError, MissingExtraError, StorageError, TaskError
from lakemill.core.planning import Ability, LaneCost, NodeType
from lakemill.core.records import record, to_json, utc_now
from lakemill.engines.assumed import assumed_lanes

FILE: Final = "hardware.json"
QUIET_SHARE: Final = 0.25


@record
class Hardware:
    """One machine and the lanes that run on it.

    Parameters
    ----------
    missing
        Kinds of engine, and what else could not be measured, and why.
    busy_cores
        Cores that other work kept busy in the minute before; figures are then too slow.
    """

    node: NodeType
    lanes: tuple[LaneCost, ...]
    missing: tuple[tuple[str, str], ...]
    host: str
    measured_at: datetime
    busy_cores: float = 0.0

    @property
    def quiet(self) -> bool:
        """Whether other work left the machine alone."""
        return self.busy_cores <= QUIET_SHARE * self.node.cores

    def lane(self, kind: str, ability: Ability) -> LaneCost | None:
        """Return the lane of a kind that has an ability, None if it was not measured."""
        return next((lane for lane in self.lanes if lane.kind == kind and ability in lane.abilities), None)


def measure(say: Callable[[str], None]) -> Hardware:
    """Measure this machine and every engine that is installed; it takes about a minute.

    Parameters
    ----------
    say
        Told what is measured, as it begins.
    """
    from lakemill.engines.measure import measure_node  # engines are not needed to read what was measured

    busy, _, _ = os.getloadavg()
    say("cores and memory")
    node, found = measure_node(), [*_task_lanes(say), *_frame_lanes(say)]
    ring = _with_ring(node, say)
    lanes = tuple(lane for _, lane in found if isinstance(lane, LaneCost))
    reasons = dict.fromkeys((kind, why) for kind, why in [*found, ("all-reduce", ring)] if isinstance(why, str))
    node = node if isinstance(ring, str) else ring
    missing = tuple(reasons)
    return Hardware(
        node=node, lanes=lanes, missing=missing, host=platform.node(), measured_at=utc_now(), busy_cores=busy
    )


def assumed() -> Hardware:
    """Return this machine as it is taken to be where it was not measured: its own processes and no other engine."""
    import psutil

    node = NodeType(
        name="this machine",
        cores=len(psutil.Process().cpu_affinity()),
        memory_bytes=psutil.virtual_memory().available,
        price_per_hour=0.0,
    )
    return Hardware(node=node, lanes=assumed_lanes("local"), missing=(), host=platform.node(), measured_at=utc_now())


def keep(hardware: Hardware, folder: Path) -> Path:
    """Write what was measured; return the file."""
    path = folder / FILE
    path.write_text(to_json(hardware))
    return path


def kept(folder: Path) -> Hardware | None:
    """Return what was measured on this host, None if nothing was.

    Raises
    ------
    StorageError
        If the file can't be read.
    """
    from pydantic import TypeAdapter, ValidationError

    path = folder / FILE
    if not path.exists():
        return None
    try:
        found = TypeAdapter(Hardware).validate_json(path.read_text())
    except ValidationError as error:
        raise StorageError(f"{path} is not what was measured here", hint="lakemill hardware --again") from error
    return found if found.host == platform.node() else None


def _task_lanes(say: Callable[[str], None]) -> Iterator[tuple[str, LaneCost | str]]:
    from lakemill.engines.measure import measure_lane
    from lakemill.engines.tasks import TASK_ENGINES

    for kind in TASK_ENGINES.kinds():
        say(f"tasks on {kind}")
        try:
            yield kind, measure_lane(kind)
        except (MissingExtraError, EngineError) as error:
            yield kind, str(error)


def _with_ring(node: NodeType, say: Callable[[str], None]) -> NodeType | str:
    from lakemill.engines.measure_gangs import measure_ring

    say("all-reduce")
    try:
        return measure_ring(node)
    except (MissingExtraError, TaskError) as error:
        return str(error)


def _frame_lanes(say: Callable[[str], None]) -> Iterator[tuple[str, LaneCost | str]]:
    from lakemill.engines.frames import FRAME_ENGINES
    from lakemill.engines.measure_frames import PLAIN, frame_lane, time_frames

    say(f"tables on {PLAIN}")
    plain = time_frames(PLAIN)
    yield PLAIN, frame_lane(PLAIN, plain, beside=plain)
    for kind in FRAME_ENGINES.kinds():
        if kind == PLAIN:
            continue
        say(f"tables on {kind}")
        try:
            yield kind, frame_lane(kind, time_frames(kind), beside=plain)
        except (MissingExtraError, EngineError) as error:
            yield kind, str(error)
