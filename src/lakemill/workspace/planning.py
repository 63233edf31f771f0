"""From a declaration to a plan: facts from the room that knows the work, costs from this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import singledispatch
from pathlib import Path
from typing import Any

from lakemill.core.errors import UnsupportedError
from lakemill.core.planning import Cluster, Facts, LaneCost, Limits, Plan
from lakemill.core.records import record
from lakemill.planner import plan as planned
from lakemill.planner import weigh
from lakemill.workspace.hardware import Hardware, keep, kept, measure
from lakemill.workspace.history import History, Prediction
from lakemill.workspace.workspace import Workspace


@record
class Planned:
    """A plan, and what it rests on."""

    facts: Facts
    hardware: Hardware
    plan: Plan


@singledispatch
def facts_of(target: Any, workspace: Workspace) -> Facts:
    """Return the facts about the work that a declaration declares.

    Rooms register their declarations (``@facts_of.register``).

    Raises
    ------
    UnsupportedError
        If nobody knows the work: a function may do anything.
    """
    del workspace
    raise UnsupportedError(
        f"nothing is known of the work of {getattr(target, '__qualname__', type(target).__name__)}",
        hint="a declaration (lm.ManyTraining(...)) can be planned, a function can't",
    )


def plan(
    workspace: Workspace, target: Any, *, limits: Limits | None = None, say: Callable[[str], None] = lambda _: None
) -> Planned:
    """Recommend where the work of a declaration should run.

    Parameters
    ----------
    workspace
        Where its tables and its history are.
    target
        A declaration, such as `ManyTraining`.
    limits
        What to keep to; default: the simplest, no deadline.
    say
        Told what is measured where this machine has not been measured yet.

    Raises
    ------
    UnsupportedError
        If nothing is known of the work.
    """
    hardware = this_machine(workspace, say=say)  # first, for the facts from history rest on it
    facts = facts_of(target, workspace)
    lanes, clusters = learnt(workspace, facts, hardware.lanes), [Cluster(node=hardware.node)]
    return Planned(facts=facts, hardware=hardware, plan=planned(facts, lanes=lanes, clusters=clusters, limits=limits))


def predicted(workspace: Workspace, target: Any, *, workers: int) -> Prediction | None:
    """Return what is predicted of the work where it is about to run; None where nothing is known."""
    hardware = kept(state_of(workspace))
    if hardware is None or workspace.settings.tasks.address:
        return None
    lanes = [lane for lane in hardware.lanes if lane.kind == workspace.settings.tasks.kind]
    if not lanes:
        return None
    facts = facts_of(target, workspace)
    lanes, clusters = learnt(workspace, facts, lanes), [Cluster(node=hardware.node)]
    found = weigh(facts, lanes=lanes, clusters=clusters, limits=Limits())
    return next((Prediction.of(one, facts) for one in found if one.workers == workers), None)


def learnt(workspace: Workspace, facts: Facts, lanes: Iterable[LaneCost]) -> list[LaneCost]:
    """Return lanes that know how past predictions of this kind of work came out in them."""
    history = History(workspace.database)
    return [replace(lane, ratios=history.ratios(type(facts).__name__, lane.kind)) for lane in lanes]


def cost_of(workspace: Workspace, *, seconds: float) -> float | None:
    """Return what this machine costs for that time; None where it has no price or work runs elsewhere."""
    hardware = kept(state_of(workspace))
    if hardware is None or workspace.settings.tasks.address or hardware.node.price_per_hour is None:
        return None
    return seconds * hardware.node.price_per_hour / 3600


def this_machine(workspace: Workspace, *, say: Callable[[str], None], again: bool = False) -> Hardware:
    """Return what this machine was found to be; it is measured the first time, and when asked again."""
    found = None if again else kept(state_of(workspace))
    if found is None:
        found = measure(say)
        keep(found, state_of(workspace))
    return found


def state_of(workspace: Workspace) -> Path:
    """Return the folder of what belongs to this machine."""
    folder = Path(workspace.settings.project_dir, ".lakemill")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
