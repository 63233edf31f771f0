"""From a declaration to a plan: facts from the room that knows the work, costs from this machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from pathlib import Path
from typing import Any

from lakemill.core.errors import UnsupportedError
from lakemill.core.planning import Candidate, Cluster, Facts, Limits, Plan
from lakemill.core.records import record
from lakemill.planner import plan as planned
from lakemill.planner import weigh
from lakemill.workspace.hardware import Hardware, keep, kept, measure
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
    facts = facts_of(target, workspace)
    hardware = this_machine(workspace, say=say)
    clusters = [Cluster(node=hardware.node)]
    return Planned(
        facts=facts, hardware=hardware, plan=planned(facts, lanes=hardware.lanes, clusters=clusters, limits=limits)
    )


def predicted(workspace: Workspace, target: Any, *, workers: int) -> Candidate | None:
    """Return what is predicted of the work where it is about to run; None where nothing is known."""
    hardware = kept(state_of(workspace))
    if hardware is None or workspace.settings.tasks.address:
        return None
    lanes = [lane for lane in hardware.lanes if lane.kind == workspace.settings.tasks.kind]
    if not lanes:
        return None
    found = weigh(facts_of(target, workspace), lanes=lanes, clusters=[Cluster(node=hardware.node)], limits=Limits())
    return next((one for one in found if one.workers == workers), None)


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
