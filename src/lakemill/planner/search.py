"""Which candidates keep to the limits, and which of them is chosen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from lakemill.core.errors import ConfigError, UnsupportedError
from lakemill.core.planning import Aim, Candidate, Cluster, Facts, LaneCost, Limit, Limits
from lakemill.planner.cost import candidates

TOLERANCE: Final[dict[Aim, float]] = {"simplest": 0.10, "fastest": 0.0, "cheapest": 0.10}


def weigh(
    facts: Facts, *, lanes: Sequence[LaneCost], clusters: Sequence[Cluster], limits: Limits
) -> tuple[Candidate, ...]:
    """Return all candidates with the limits that they break, the best for the aim first.

    Raises
    ------
    ConfigError
        If there is no lane or cluster, or one has no price where money counts.
    UnsupportedError
        If no lane can do the work.
    """
    _check(lanes, clusters, limits)
    found = [replace(one, breaks=broken(one, limits)) for one in candidates(facts, lanes, clusters)]
    if not found:
        raise UnsupportedError(
            f"no lane can do {type(facts).__name__}; got {', '.join(sorted({x.kind for x in lanes}))}",
            hint="a lane's abilities say what it can do; declare one that has what the work needs",
        )
    return tuple(sorted(found, key=lambda one: (amount(one, limits), simplicity(one))))


def choose(found: Iterable[Candidate], limits: Limits) -> Candidate | None:
    """Return the simplest of those near enough to the best that keeps to the limits; None if nothing does."""
    allowed = [one for one in found if not one.breaks]
    if not allowed:
        return None
    most = min(amount(one, limits) for one in allowed) * (1 + TOLERANCE[limits.aim])
    return min((one for one in allowed if amount(one, limits) <= most), key=simplicity)


def broken(candidate: Candidate, limits: Limits) -> tuple[Limit, ...]:
    """Return the limits that a candidate breaks.

    Memory must do at its upper bound, for a process that has too little is killed; deadline and budget at
    the expected value, for lateness is a matter of degree.
    """
    late = limits.deadline_seconds is not None and candidate.seconds.value > limits.deadline_seconds
    dear = limits.budget is not None and candidate.money is not None and candidate.money.value > limits.budget
    judged: dict[Limit, bool] = {"memory": candidate.spare_bytes < 0, "deadline": late, "budget": dear}
    return tuple(limit for limit, breaks in judged.items() if breaks)


def amount(candidate: Candidate, limits: Limits) -> float:
    """Return what the aim makes least: money or seconds."""
    if limits.aim == "cheapest" and candidate.money is not None:
        return candidate.money.value
    return candidate.seconds.value


def simplicity(candidate: Candidate) -> tuple[object, ...]:
    """Order by what there is to understand and keep running, then by size; names last, so that no two tie."""
    return (
        candidate.complexity,
        candidate.nodes,
        len(candidate.cut),
        candidate.workers,
        candidate.money.value if candidate.money else 0.0,
        candidate.seconds.value,
        candidate.lane,
        candidate.cluster,
        candidate.cut,
    )


def _check(lanes: Sequence[LaneCost], clusters: Sequence[Cluster], limits: Limits) -> None:
    if not lanes or not clusters:
        raise ConfigError(
            f"a plan needs lanes and clusters, got {len(lanes)} and {len(clusters)}",
            hint="this machine is a Cluster with one node",
        )
    unpriced = [cluster.node.name for cluster in clusters if cluster.node.price_per_hour is None]
    if unpriced and (limits.budget is not None or limits.aim == "cheapest"):
        raise ConfigError(
            f"a budget, or the aim cheapest, needs the price of every node type; {', '.join(unpriced)} has none",
            hint="set price_per_hour (0 for a machine that is paid anyway), or leave those clusters out",
        )
