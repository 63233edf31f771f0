"""The bottleneck by name, the reasons, where the choice changes, and which limit to relax."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any, Final

from lakemill.core.planning import (
    Ability,
    Bottleneck,
    BreakEven,
    Candidate,
    Cluster,
    Facts,
    Interval,
    LaneCost,
    Limit,
    Limits,
    Relaxation,
)
from lakemill.planner.cost import counts
from lakemill.planner.facts import DeepTraining, FeaturePipeline, ManyFits, Search, TableModel
from lakemill.planner.search import TOLERANCE, amount, choose, simplicity, weigh
from lakemill.planner.wording import cut_of, in_bytes, in_money, in_seconds, label

MOST_NODES: Final = 256
LARGEST_GROWTH: Final = 2.0**10
SMALLEST_GROWTH: Final = 2.0**-10
PRECISION: Final = 1.02
SEQUENTIAL: Final = "every step needs the one before, so more workers don't shorten it"
AROUND: Final = "don't distribute it, distribute around it: run several (folds, trials, groups) side by side"


@dataclass(frozen=True, kw_only=True)
class Case:
    """What was asked, what was found, what was chosen."""

    facts: Facts
    lanes: Sequence[LaneCost]
    clusters: Sequence[Cluster]
    limits: Limits
    found: tuple[Candidate, ...]
    choice: Candidate | None

    @property
    def plainest(self) -> Candidate:
        """The simplest candidate, whether it meets the limits or not: what stands in its way is the bottleneck."""
        return min(self.found, key=simplicity)


def bottleneck(case: Case) -> Bottleneck:
    """Name what holds the work back."""
    plainest = case.plainest
    if case.facts.lives_in and case.choice is not None and case.choice.lane == case.facts.lives_in:
        return "workflow fit"
    if plainest.spare_bytes < 0:
        return case.facts.too_big
    if plainest.parts.moving > plainest.parts.parallel:
        return "data size"
    return case.facts.nature


def reasons(case: Case) -> tuple[str, ...]:
    """Say why, most important first."""
    said = [f"{bottleneck(case)} is the bottleneck: {summary(case.facts)}"]
    said += [text for tell in (_workflow, _memory, _pattern, _lacking) for text in tell(case)]
    if case.choice is not None:
        said += [text for tell in (_nodes, _more, _paid_already, _risk, _learnt) for text in tell(case, case.choice)]
    if named := assumed(case):
        said.append(f"assumed, not measured: {', '.join(named)}")
    return tuple(said)


def assumed(case: Case) -> tuple[str, ...]:
    """Return what nobody measured: figures of the work, of clusters, and costs of lanes that were weighed."""
    clusters = (f"{name} of {cluster.name}" for cluster in case.clusters for name in cluster.assumed)
    weighed = {one.lane for one in case.found}
    lanes = (f"costs of {lane.kind}" for lane in case.lanes if lane.assumed and lane.kind in weighed)
    return (*case.facts.assumed, *clusters, *lanes)


@singledispatch
def summary(facts: Facts) -> str:
    """Return the work in figures."""
    return f"{facts.rows:,} rows, {in_bytes(facts.bytes)}"


@summary.register
def _(facts: ManyFits) -> str:
    return f"{facts.fits:,} fits of {in_seconds(facts.seconds_per_fit.value)} on {facts.rows:,} rows, {in_bytes(facts.bytes)}"


@summary.register
def _(facts: Search) -> str:
    return f"{facts.trials:,} trials of {in_seconds(facts.seconds_per_trial.value)}"


@summary.register
def _(facts: DeepTraining) -> str:
    samples = facts.samples * facts.epochs
    return f"{facts.model.parameters:,.0f} parameters, {samples:,} samples of {facts.model.flops_per_sample:.3g} FLOPs"


def _workflow(case: Case) -> Iterator[str]:
    home = case.facts.lives_in
    if not home or case.choice is None:
        return
    if case.choice.lane != home:
        yield f"the work lives in {home}, which runs and holds the data, and leaves it all the same"
        return
    others = [one for one in case.found if one.lane != home and "memory" not in one.breaks]
    other = min(others, key=lambda one: one.seconds.value, default=None)
    cost = "" if other is None else f"; {label(other)} takes {in_seconds(other.seconds.value)}, {_spent(other)}"
    yield f"the work lives in {home}, which runs and holds the data, and stays there{cost}"


def _memory(case: Case) -> Iterator[str]:
    plainest = case.plainest
    if plainest.spare_bytes < 0:
        yield f"{label(plainest)} can't hold it: {_held(plainest)}"


def _held(candidate: Candidate) -> str:
    return f"{in_bytes(candidate.held_bytes.high)} of {in_bytes(candidate.memory_bytes)}"


@singledispatch
def pattern(facts: Facts, case: Case) -> str:
    """Return what the pattern of the work means for spreading it, if anything."""
    del facts, case
    return ""


@pattern.register
def _(facts: FeaturePipeline, case: Case) -> str:
    most = case.choice.workers if case.choice else 1
    if facts.largest_share * most <= 1:
        return ""
    return f"one key has {facts.largest_share:.0%} of the rows, and one worker does them alone: more workers don't help"


@pattern.register
def _(facts: TableModel, case: Case) -> str:
    del case
    if facts.serial_share == 1:
        return f"{SEQUENTIAL}: {AROUND}"
    if not facts.distributed:
        return f"the algorithm has no form for many workers: {AROUND}"
    if facts.serial_share:
        most = 1 / facts.serial_share
        return f"{facts.serial_share:.0%} of the fit is serial: no number of workers makes it {most:.3g} times as fast"
    return ""


@pattern.register
def _(facts: Search, case: Case) -> str:
    del case
    if facts.sequential:
        return f"{SEQUENTIAL}: {AROUND}"
    stopped = ", but each is watched as it runs and may be stopped early" if facts.early_stopping else ""
    return f"the trials are independent{stopped}"


@pattern.register
def _(facts: ManyFits, case: Case) -> str:
    del facts
    told = "the fits are independent"
    if case.choice is not None:
        each = case.choice.each
        share = f"cpus={each.cpus:.3g}" + (f", gpus={each.gpus:.3g}" if each.gpus else "")
        told += f": each has a worker to itself while it runs ({share}), {case.choice.workers} at once"
    return told


@pattern.register
def _(facts: DeepTraining, case: Case) -> str:
    del facts
    if case.choice is None or not case.choice.cut:
        return ""
    if case.plainest.spare_bytes < 0:
        return f"one device can't hold the model, so it is cut: {cut_of(case.choice)}"
    held = _held(case.plainest)
    return f"the model fits one device ({held}); the samples take the time, and are shared out: {cut_of(case.choice)}"


def _pattern(case: Case) -> Iterator[str]:
    if text := pattern(case.facts, case):
        yield text


def _lacking(case: Case) -> Iterator[str]:
    lacks: dict[str, set[Ability]] = {}
    for lane in case.lanes:
        missing = set(case.facts.needs) - set(lane.abilities)
        lacks[lane.kind] = min(missing, lacks.get(lane.kind, missing), key=len)
    for kind, missing in lacks.items():
        if missing:
            yield f"{kind} can't do it: it has no {' and no '.join(sorted(missing))}"


def _nodes(case: Case, choice: Candidate) -> Iterator[str]:
    """Compare with the best of the other way: several nodes, or one."""
    others = [one for one in case.found if (one.nodes > 1) != (choice.nodes > 1)]
    if not others:
        return
    other = min(others, key=lambda one: ("memory" in one.breaks, amount(one, case.limits)))
    verdict = f"; that breaks the {' and the '.join(other.breaks)}" if other.breaks else ""
    than = f"{label(other)}, takes {in_seconds(other.seconds.value)}, {_spent(other)}{verdict}"
    cores = {cluster.name: cluster.node.cores for cluster in case.clusters}
    if choice.nodes > 1:
        yield f"several nodes beat one: the best of one, {than}"
    elif cores[choice.cluster] > cores[other.cluster]:
        yield f"a bigger node, {choice.node}, does more than more nodes: the best of several, {than}"
    else:
        yield f"one machine does it: the best of several, {than}"


def _more(case: Case, choice: Candidate) -> Iterator[str]:
    """Say what the fastest would have bought."""
    allowed = [one for one in case.found if not one.breaks]
    fastest = min(allowed, key=lambda one: one.seconds.value)
    if fastest.seconds.value < choice.seconds.value:
        saved = 1 - fastest.seconds.value / choice.seconds.value
        yield (
            f"{label(fastest)} would take {in_seconds(fastest.seconds.value)}, {saved:.0%} less{_at(fastest.money)}: "
            f"the simplest within {TOLERANCE[case.limits.aim]:.0%} of the best {_wanted(case.limits)} wins"
        )


def _paid_already(case: Case, choice: Candidate) -> Iterator[str]:
    """Say what would do without more money, where the choice takes some."""
    free = [one for one in case.found if _is_free(one) and "memory" not in one.breaks]
    if free and not _is_free(choice):
        best = min(free, key=lambda one: one.seconds.value)
        yield f"{label(best)}, costs nothing more and would take {in_seconds(best.seconds.value)}"


def _is_free(candidate: Candidate) -> bool:
    return candidate.money is not None and not candidate.money.value


def _risk(case: Case, choice: Candidate) -> Iterator[str]:
    deadline, budget = case.limits.deadline_seconds, case.limits.budget
    if deadline is not None and choice.seconds.high > deadline:
        yield f"it may miss the deadline: up to {in_seconds(choice.seconds.high)} of {in_seconds(deadline)}"
    if budget is not None and choice.money is not None and choice.money.high > budget:
        yield f"it may miss the budget: up to {in_money(choice.money.high)} of {in_money(budget)}"


def _learnt(case: Case, choice: Candidate) -> Iterator[str]:
    """Say how past predictions corrected this one."""
    runs = max(len(lane.ratios) for lane in case.lanes if lane.kind == choice.lane)
    if runs:
        yield (
            f"corrected by {choice.correction:.2f}: the last {runs} of this kind in {choice.lane} took that much "
            "of what was predicted"
        )


def _wanted(limits: Limits) -> str:
    return "cost" if limits.aim == "cheapest" else "time"


def _at(money: Interval | None) -> str:
    return f" at {in_money(money.value)}" if money and money.value else ""


def _spent(candidate: Candidate) -> str:
    parts = candidate.parts
    spent = {"start-up": parts.start, "moving data": parts.moving, "communication": parts.communication}
    named = [
        f"{in_seconds(seconds)} {name}" for name, seconds in spent.items() if seconds >= 0.01 * candidate.seconds.value
    ]
    return f"of which {', '.join(named)}" if named else "nearly all of it work"


def break_even(case: Case) -> tuple[BreakEven, ...]:
    """Return where another design would be chosen: at which size, larger or smaller, and at how many nodes."""
    if case.choice is None:
        return ()
    choice = case.choice
    sizes = [_at_size(case, choice, step) for step in (2.0, 0.5)]
    return tuple(found for found in (*sizes, _at_nodes(case, choice)) if found is not None)


def _at_size(case: Case, choice: Candidate, step: float) -> BreakEven | None:
    """Double or halve the work until the design changes, then bisect."""

    def chosen(factor: float) -> Candidate | None:
        facts = grown(case.facts, factor)
        return choose(weigh(facts, lanes=case.lanes, clusters=case.clusters, limits=case.limits), case.limits)

    def changes(factor: float) -> bool:
        now = chosen(factor)
        return now is None or now.design != choice.design

    factor = step
    while not changes(factor):
        factor *= step
        if not SMALLEST_GROWTH <= factor <= LARGEST_GROWTH:
            return None
    factor = _bisect(factor / step, factor, changes)
    name, becomes = case.facts.grows[0], chosen(factor)
    size = float(getattr(grown(case.facts, factor), name))
    return BreakEven(quantity=name, amount=size, becomes=label(becomes) if becomes else "nothing meets the limits")


def _bisect(same: float, other: float, changes: Callable[[float], bool]) -> float:
    """Return a factor at which the choice has just changed; the middle of two factors is their geometric mean."""
    while not 1 / PRECISION < same / other < PRECISION:
        middle = (same * other) ** 0.5
        same, other = (same, middle) if changes(middle) else (middle, other)
    return other


@singledispatch
def grown(facts: Facts, factor: float) -> Any:
    """Return the same work at another size, all that goes with its size in proportion."""
    return replace(facts, **{name: _times(getattr(facts, name), factor) for name in facts.grows})  # type: ignore[arg-type]


@grown.register
def _(facts: ManyFits, factor: float) -> ManyFits:
    """Keep the largest fit's share, but never below that of one among equals."""
    alike = replace(facts, largest_share=None)
    larger: ManyFits = grown.dispatch(Facts)(alike, factor)
    share = None if facts.largest_share is None else max(facts.largest_share, 1 / larger.fits)
    return replace(larger, largest_share=share)


def _times(figure: Interval | int, factor: float) -> Interval | int:
    return figure * factor if isinstance(figure, Interval) else max(min(figure, 1), round(figure * factor))


def _at_nodes(case: Case, choice: Candidate) -> BreakEven | None:
    """Return how many nodes must be at hand, more than there are if need be, for several to beat one."""
    if choice.nodes > 1:
        return None
    wide = [replace(cluster, max_nodes=MOST_NODES) for cluster in case.clusters]
    found = weigh(case.facts, lanes=case.lanes, clusters=wide, limits=case.limits)

    def chosen(most: int) -> Candidate:
        # More nodes only lower the best, so a machine that has lost its place does not win it back.
        return choose([one for one in found if one.nodes <= most], case.limits) or choice

    numbers = counts(MOST_NODES)
    place = bisect_left(numbers, True, key=lambda most: chosen(most).nodes > 1)
    if place == len(numbers):
        return None
    return BreakEven(quantity="nodes", amount=float(numbers[place]), becomes=label(chosen(numbers[place])))


def relaxations(case: Case) -> tuple[Relaxation, ...]:
    """Return, where nothing meets the limits, what each alone would have to be; if none alone helps, which together."""
    if case.choice is not None:
        return ()
    limits: tuple[Limit, ...] = ("deadline", "budget", "memory")
    alone = [[one for one in case.found if one.breaks == (limit,)] for limit in limits]
    least = [min(ones, key=lambda one: _over(one, case.limits)) for ones in alone if ones]
    if not least:
        least = [min(case.found, key=lambda one: (len(one.breaks), _over(one, case.limits)))]
    return tuple(_relax(one, limit, case.limits) for one in least for limit in one.breaks)


def _relax(candidate: Candidate, limit: Limit, limits: Limits) -> Relaxation:
    allowed, needed = _figures(candidate, limits)[limit]
    also = tuple(other for other in candidate.breaks if other != limit)
    return Relaxation(limit=limit, allowed=allowed, needed=needed, then=label(candidate), also=also)


def _figures(candidate: Candidate, limits: Limits) -> dict[Limit, tuple[float, float]]:
    """Return what each limit allows and what the candidate needs."""
    money = candidate.money.value if candidate.money else 0.0
    return {
        "memory": (float(candidate.memory_bytes), candidate.held_bytes.high),
        "deadline": (limits.deadline_seconds or 0.0, candidate.seconds.value),
        "budget": (limits.budget or 0.0, money),
    }


def _over(candidate: Candidate, limits: Limits) -> float:
    """Return by how much the broken limits are exceeded, in sum."""
    figures = _figures(candidate, limits)
    return sum(figures[limit][1] / max(figures[limit][0], 1e-9) for limit in candidate.breaks)


def relaxed(relax: Relaxation) -> str:
    """Return a relaxation as a sentence."""
    show: dict[Limit, Callable[[float], str]] = {"memory": in_bytes, "deadline": in_seconds, "budget": "{:.4g}".format}
    name = {"memory": "memory of a node or accelerator", "deadline": "deadline", "budget": "budget"}[relax.limit]
    told = show[relax.limit]
    also = f" (and the {' and the '.join(relax.also)} too)" if relax.also else ""
    more = told(relax.needed - relax.allowed)
    return f"relax the {name} from {told(relax.allowed)} to {told(relax.needed)}, {more} more{also}: {relax.then}"
