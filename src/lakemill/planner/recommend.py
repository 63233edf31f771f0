"""One question, one answer: facts, lanes, clusters and limits in, a plan out."""

from __future__ import annotations

from collections.abc import Sequence

from lakemill.core.planning import Cluster, Facts, LaneCost, Limits, Plan
from lakemill.planner.explain import Case, assumed, bottleneck, break_even, reasons, relaxations, relaxed
from lakemill.planner.search import choose, weigh


def plan(facts: Facts, *, lanes: Sequence[LaneCost], clusters: Sequence[Cluster], limits: Limits | None = None) -> Plan:
    """Recommend how to do the work.

    Parameters
    ----------
    facts
        What is known of the work.
    lanes
        Ways of running it, with what they cost here; their order makes no difference.
    clusters
        This machine and all that can be had.
    limits
        What to keep to; default: the simplest, no deadline, no budget.

    Raises
    ------
    ConfigError
        If a price or a speed is missing that the answer needs.
    UnsupportedError
        If no lane can do the work, or the costs of the lane that it lives in are not known.

    Examples
    --------
    >>> from lakemill.core.planning import NodeType, exact
    >>> from lakemill.planner import ManyFits
    >>> everything = ("frames", "tasks", "gangs", "feedback", "accelerators")
    >>> alone = LaneCost(kind="process", abilities=everything, one_worker=True)
    >>> local = LaneCost(kind="local", abilities=("tasks",), start_seconds=exact(1.0))
    >>> here = Cluster(node=NodeType(name="here", cores=2, memory_bytes=2**33))
    >>> fits = ManyFits(rows=1, bytes=8, fits=4000, seconds_per_fit=exact(0.03), peak_bytes_per_fit=exact(2**26))
    >>> answer = plan(fits, lanes=[alone, local], clusters=[here])
    >>> answer.choice.lane, answer.choice.workers, answer.choice.seconds.value, answer.bottleneck
    ('local', 2, 61.0, 'number of models')
    """
    limits = limits or Limits()
    found = weigh(facts, lanes=lanes, clusters=clusters, limits=limits)
    choice = choose(found, limits)
    case = Case(facts=facts, lanes=lanes, clusters=clusters, limits=limits, found=found, choice=choice)
    relax = relaxations(case)
    return Plan(
        bottleneck=bottleneck(case),
        choice=choice,
        candidates=found,
        limits=limits,
        reasons=(*reasons(case), *map(relaxed, relax)),
        break_even=break_even(case),
        relax=relax,
        assumed=assumed(case),
    )
