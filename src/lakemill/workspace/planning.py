"""From a declaration to a plan: facts from the room that knows the work, costs from this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import singledispatch
from math import ceil
from pathlib import Path
from typing import Any, Literal

from lakemill.core.errors import UnsupportedError
from lakemill.core.events import Event
from lakemill.core.planning import NOTHING, Aim, Candidate, Cluster, Facts, Interval, LaneCost, Limits, Plan, exact
from lakemill.core.records import AUTO, ClusterSpec, record
from lakemill.planner import label, weigh
from lakemill.planner import plan as planned
from lakemill.workspace.clusters import at_hand, lanes_on
from lakemill.workspace.hardware import Hardware, assumed, keep, kept, measure
from lakemill.workspace.history import History, Prediction
from lakemill.workspace.probing import Probed, probe_of, run_probe
from lakemill.workspace.workspace import Workspace


@record
class Planned:
    """A plan, and what it rests on."""

    facts: Facts
    hardware: Hardware
    clusters: tuple[Cluster, ...]
    plan: Plan
    probed: Probed | None = None


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
    workspace: Workspace,
    target: Any,
    *,
    cluster: str | Sequence[str] = (),
    deadline_seconds: float | None = None,
    budget: float | None = None,
    aim: Aim = "simplest",
    probe: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Planned:
    """Recommend where the work of a declaration should run.

    Parameters
    ----------
    workspace
        Where its tables and its history are.
    target
        A declaration, such as `ManyTraining`.
    cluster
        Names of the clusters that may be used, ``here`` for this machine; default: it and all declared ones.
    deadline_seconds
        What it must not take longer than.
    budget
        Money that it must not cost more than, in the currency of the prices.
    aim
        ``simplest`` within 10 % of the best time, ``fastest``, or ``cheapest``: see `Limits`.
    probe
        Whether some pieces of the work may be tried, where nobody knows what they take.
    say
        Told what is measured where this machine has not been measured yet.

    Raises
    ------
    ConfigError
        If there is no such cluster, a limit is impossible, or a price is missing where money counts.
    UnsupportedError
        If nothing is known of the work.
    """
    limits = Limits(deadline_seconds=deadline_seconds, budget=budget, aim=aim)
    hardware = this_machine(workspace, say=say)  # first, for the facts from history rest on it
    names = [cluster] if isinstance(cluster, str) else cluster
    clusters = at_hand(workspace.settings.clusters, hardware, names=names)
    facts, probed = facts_of(target, workspace), None
    if probe and facts.assumed:
        say("some pieces of the work")
        facts, probed = run_probe(probe_of(target, workspace))
    return replace(_planned(workspace, facts, hardware, clusters=clusters, limits=limits), probed=probed)


def predicted(workspace: Workspace, target: Any, *, workers: int, started: bool = False) -> Prediction | None:
    """Return what is predicted of the work where it is about to run; None where nothing is known.

    Parameters
    ----------
    workspace
        With the engine that will run it.
    target
        A declaration.
    workers
        Of that engine.
    started
        Whether the engine runs already.
    """
    hardware, facts = here(workspace), facts_of(target, workspace)
    engine = engine_of(workspace, facts)
    lanes = [lane for lane in hardware.lanes if lane.kind == engine.kind]
    if engine.address or not lanes:
        return None
    lanes = [replace(lane, start_seconds=NOTHING) for lane in lanes] if started else lanes
    clusters = [Cluster(node=hardware.node)]
    found = weigh(facts, lanes=learnt(workspace, facts, lanes), clusters=clusters, limits=Limits())
    return next((Prediction.of(one, facts) for one in found if one.workers == workers), None)


def place(workspace: Workspace, target: Any) -> Planned | None:
    """Let the tasks of a declaration run where its plan says, if the project leaves that open (``kind: auto``).

    The machine is not measured on the way. Figures that nobody knows are taken at their upper bound, for a worker
    that idles costs less than one that is missing; where the lower one would lead elsewhere, some pieces are tried.
    """
    if workspace.settings.tasks.kind != AUTO:
        return None
    made = _decided(workspace, target, facts_of(target, workspace))
    choice = made.plan.choice or min(made.plan.candidates, key=lambda one: one.held_bytes.high)
    workspace.place(_spec(choice))
    workspace.emit(Event(kind="note", text=f"by plan: {label(choice)}"))
    return made


def _spec(choice: Candidate) -> ClusterSpec:
    """Return the cluster on this machine that a candidate asks for."""
    cores = ceil(choice.workers * choice.each.cpus - 1e-9)
    if choice.lane == ClusterSpec().kind:
        return ClusterSpec(num_workers=cores)
    return ClusterSpec(kind=choice.lane, cpus_per_worker=cores)


def _decided(workspace: Workspace, target: Any, facts: Facts) -> Planned:
    high = _on_this_machine(workspace, _at(facts, "high"))
    if not facts.assumed:
        return high
    low = _on_this_machine(workspace, _at(facts, "low"))
    if not (low.plan.choice and high.plan.choice) or low.plan.choice.design == high.plan.choice.design:
        return high
    with suppress(UnsupportedError):
        found, probed = run_probe(probe_of(target, workspace))
        return replace(_on_this_machine(workspace, _at(found, "high")), probed=probed)
    return high


def _at(facts: Facts, bound: Literal["low", "high"]) -> Facts:
    """Return facts in which what was assumed is at a bound."""
    assumed = {name: getattr(facts, name) for name in facts.assumed}
    held = {name: exact(getattr(one, bound)) for name, one in assumed.items() if isinstance(one, Interval)}
    return replace(facts, **held)  # type: ignore[arg-type]


def _on_this_machine(workspace: Workspace, facts: Facts) -> Planned:
    hardware = here(workspace)
    return _planned(workspace, facts, hardware, clusters=at_hand((), hardware), limits=Limits())


def _planned(
    workspace: Workspace, facts: Facts, hardware: Hardware, *, clusters: tuple[Cluster, ...], limits: Limits
) -> Planned:
    lanes = learnt(workspace, facts, lanes_on(clusters, hardware))
    made = planned(facts, lanes=lanes, clusters=clusters, limits=limits)
    return Planned(facts=facts, hardware=hardware, clusters=clusters, plan=made)


def learnt(workspace: Workspace, facts: Facts, lanes: Iterable[LaneCost]) -> list[LaneCost]:
    """Return lanes that know how past predictions of this kind of work came out in them."""
    history = History(workspace.database)
    return [replace(lane, ratios=history.ratios(type(facts).__name__, lane.kind)) for lane in lanes]


def engine_of(workspace: Workspace, facts: Facts) -> ClusterSpec:
    """Return the engine of a workspace that runs such work."""
    return workspace.settings.frames if "frames" in facts.needs else workspace.placed


def cost_of(workspace: Workspace, engine: ClusterSpec, *, seconds: float) -> float | None:
    """Return what this machine costs for that time; None where it has no price or work runs elsewhere."""
    price = here(workspace).node.price_per_hour
    return None if price is None or engine.address else seconds * price / 3600


def here(workspace: Workspace) -> Hardware:
    """Return what this machine was found to be, or what is assumed where it was not measured."""
    return kept(state_of(workspace)) or assumed()


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
