"""What the machine was found to be, kept for plans that must not wait."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from lakemill.core.errors import EngineError, MissingExtraError, StorageError, TaskError
from lakemill.core.planning import LaneCost, NodeType
from lakemill.core.records import record, to_json, utc_now
from lakemill.engines.assumed import assumed_lane

FILE: Final = "hardware.json"


@record
class Hardware:
    """One machine and the lanes that run on it.

    Parameters
    ----------
    missing
        Kinds of engine, and what else could not be measured, and why.
    """

    node: NodeType
    lanes: tuple[LaneCost, ...]
    missing: tuple[tuple[str, str], ...]
    host: str
    measured_at: datetime


def measure(say: Callable[[str], None]) -> Hardware:
    """Measure this machine and every task engine that is installed; it takes about half a minute.

    Parameters
    ----------
    say
        Told what is measured, as it begins.
    """
    from lakemill.engines.measure import measure_node  # engines are not needed to read what was measured

    say("cores and memory")
    node, found = measure_node(), dict(_lanes(say))
    ring = _with_ring(node, say)
    lanes = tuple(lane for lane in found.values() if isinstance(lane, LaneCost))
    reasons = {**found, "all-reduce": ring}
    missing = tuple((kind, why) for kind, why in reasons.items() if isinstance(why, str))
    node = node if isinstance(ring, str) else ring
    return Hardware(node=node, lanes=lanes, missing=missing, host=platform.node(), measured_at=utc_now())


def assumed() -> Hardware:
    """Return this machine as it is taken to be where it was not measured: its own processes and no other engine."""
    import psutil

    node = NodeType(
        name="this machine",
        cores=len(psutil.Process().cpu_affinity()),
        memory_bytes=psutil.virtual_memory().available,
        price_per_hour=0.0,
    )
    return Hardware(node=node, lanes=(assumed_lane("local"),), missing=(), host=platform.node(), measured_at=utc_now())


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
        raise StorageError(f"{path} is not what was measured here", hint="lakemill hardware") from error
    return found if found.host == platform.node() else None


def _lanes(say: Callable[[str], None]) -> Iterator[tuple[str, LaneCost | str]]:
    from lakemill.engines.measure import measure_lane
    from lakemill.engines.tasks import TASK_ENGINES

    for kind in TASK_ENGINES.kinds():
        say(f"engine {kind}")
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
