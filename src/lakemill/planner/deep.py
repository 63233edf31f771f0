"""Candidates for one large model: every product of cuts, each folded over what a rank holds and sends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from typing import Final

from lakemill.core.errors import ConfigError, UnsupportedError
from lakemill.core.planning import Candidate, Cluster, Interval, LaneCost, NodeType, Parts, exact, total, within
from lakemill.core.records import Resources
from lakemill.parallel import CUTS, Cut, DeepModel, Step, Strategy, Wire, fold
from lakemill.planner.correct import corrected, correction
from lakemill.planner.cost import WIRE_ERROR, candidates, complexity, counts, home_of, money_of, offered
from lakemill.planner.facts import DeepTraining

FRAGMENTATION: Final = 0.1  # assumed: share of its bytes that a caching allocator holds beyond them
STAGES: Final = {"zero": ({"stage": 1}, {"stage": 2}, {"stage": 3})}  # options that make one kind several ways

Ways = tuple[tuple[str, Strategy, int], ...]


@candidates.register
def _candidates(facts: DeepTraining, lanes: Sequence[LaneCost], clusters: Sequence[Cluster]) -> Iterable[Candidate]:
    home = home_of(facts, lanes)
    for lane, cluster in offered(facts.needs, lanes, clusters):
        best: dict[object, Candidate] = {}
        for nodes, each in _ranks(lane, cluster):
            batch, micro_batch = facts.batch_samples, facts.micro_batch_samples
            for cut, ways in _cuts(facts.model, nodes * each, devices=each, batch=batch, micro_batch=micro_batch):
                site = Site(facts=facts, lane=lane, home=home, cluster=cluster, nodes=nodes, cut=cut, ways=ways)
                found = site.price()
                design = (nodes, each, tuple(kind for kind, _ in found.cut))
                best[design] = min(found, best.get(design, found), key=_order)
        yield from best.values()


def devices_of(node: NodeType) -> int:
    """Return how many ranks a node has room for: one on each accelerator, or one over all of its cores."""
    return node.accelerators or 1


def _order(candidate: Candidate) -> tuple[float, ...]:
    """Put what fits before what doesn't, then the faster one."""
    return (max(0.0, -candidate.spare_bytes), candidate.seconds.value)


def _ranks(lane: LaneCost, cluster: Cluster) -> Iterator[tuple[int, int]]:
    """Return nodes and ranks on each: any number on one node, all devices on many."""
    devices = 1 if lane.one_worker else devices_of(cluster.node)
    yield from ((1, each) for each in counts(devices))
    if lane.spans_nodes:
        yield from ((nodes, devices) for nodes in counts(cluster.max_nodes)[1:])


@lru_cache(maxsize=1024)
def _cuts(model: DeepModel, ranks: int, *, devices: int, batch: int, micro_batch: int) -> tuple[tuple[Cut, Ways], ...]:
    """Fold every product of cuts that takes these ranks, with and without recomputation.

    Samples and epochs don't matter here, so that the search for where the choice changes folds nothing again.
    """
    found = []
    for recompute, ways in product((False, True), _ways(ranks, devices)):
        copies = next((degree for _, way, degree in ways if way.axis == "data"), 1)
        micro_batches, rest = divmod(batch, micro_batch * copies)
        if micro_batches and not rest:
            step = Step(micro_batch_samples=micro_batch, micro_batches=micro_batches, recompute=recompute)
            with suppress(UnsupportedError):  # the model has no such cut
                found.append((fold(model, step, ways=[(way, degree) for _, way, degree in ways]), ways))
    return tuple(found)


def _ways(ranks: int, devices: int) -> Iterator[Ways]:
    """Return products of at most one cut an axis; tensor cuts stay inside a node, for they talk in every layer."""
    by_axis = {axis: [way for way in _strategies() if way[1].axis == axis] for axis in ("tensor", "pipeline", "data")}
    for tensor, pipeline in product(_divisors(devices), _divisors(ranks)):
        if ranks % (tensor * pipeline):
            continue
        degrees = {"tensor": tensor, "pipeline": pipeline, "data": ranks // (tensor * pipeline)}
        cut = [[(*way, degree) for way in by_axis[axis]] for axis, degree in degrees.items() if degree > 1]
        yield from product(*cut)


@cache
def _strategies() -> tuple[tuple[str, Strategy], ...]:
    """Return every way of cutting, under the name that a plan gives it."""
    ways = [(kind, options) for kind in CUTS.kinds() for options in STAGES.get(kind, ({},))]
    return tuple(
        (" ".join(map(str, (kind, *options.values()))), CUTS.build({"kind": kind, **options})) for kind, options in ways
    )


def _divisors(number: int) -> list[int]:
    return [degree for degree in range(1, number + 1) if number % degree == 0]


@dataclass(frozen=True, kw_only=True)
class Site:
    """One cut of the model, in one lane."""

    facts: DeepTraining
    lane: LaneCost
    home: LaneCost | None
    cluster: Cluster
    nodes: int
    cut: Cut
    ways: Ways

    def price(self) -> Candidate:
        """Predict seconds, bytes and money."""
        node, ranks = self.cluster.node, self.cut.ranks
        compute, wires = self._compute_seconds(), self._wire_seconds()
        start = total([self.cluster.start_seconds, self.lane.start_seconds])
        seconds = corrected(total([start, compute, wires]), self.lane.ratios)
        held = self.cut.state_bytes + self.cut.activation_bytes
        work = Interval(value=held, low=held, high=held * (1 + FRAGMENTATION))
        process = total([self.lane.worker_bytes, work])
        recompute = (("recompute", 1),) if self.cut.step.recompute else ()
        return Candidate(
            lane=self.lane.kind,
            cluster=self.cluster.name,
            node=node.name,
            nodes=self.nodes,
            workers=ranks,
            cut=tuple((kind, degree) for kind, _, degree in self.ways) + recompute,
            each=Resources(cpus=node.cores / devices_of(node), gpus=min(1, node.accelerators)),
            seconds=seconds,
            parts=Parts(
                start=start.value,
                parallel=compute.value * (1 - self.cut.idle_share),
                stragglers=compute.value * self.cut.idle_share,
                communication=wires.value,
            ),
            peak_bytes_per_process=process,
            total_bytes=total([self.lane.driver_bytes, process * ranks]),
            held_bytes=process if node.accelerators else total([self.lane.driver_bytes, process]),
            memory_bytes=node.accelerator_memory_bytes if node.accelerators else node.memory_bytes,
            money=money_of(self.cluster, self.nodes, seconds=seconds),
            correction=correction(self.lane.ratios),
            complexity=complexity(self.lane, self.home),
        )

    @property
    def _steps(self) -> int:
        """Updates in all; the last of an epoch may be short, and takes as long."""
        return self.facts.epochs * -(-self.facts.samples // self.facts.batch_samples)

    def _compute_seconds(self) -> Interval:
        """Return the seconds of FLOPs and of waiting for other stages."""
        flop = self._steps * self.cut.flops / (1 - self.cut.idle_share)
        return exact(flop / _peak(self.cluster.node)).over(self.facts.utilisation)

    def _wire_seconds(self) -> Interval:
        """Return the seconds of messages, none of them hidden behind FLOPs."""
        seconds = self._steps * sum(wire.sent_bytes / self._bytes_per_second(wire) for wire in self.cut.wires)
        return within(seconds, WIRE_ERROR)

    def _bytes_per_second(self, wire: Wire) -> float:
        """Return what a rank's ring has: inside a node its links, else its share of the network.

        Groups of other axes cross the node's border at the same time.
        """
        node, axes = self.cluster.node, {way.kind: way.axis for _, way, _ in self.ways}
        if self.nodes == 1 or axes[wire.kind] == "tensor":
            return node.accelerator_bytes_per_second if node.accelerators else node.memory_bytes_per_second
        return node.network_bytes_per_second / min(devices_of(node), self.cut.ranks // wire.ranks)


def _peak(node: NodeType) -> float:
    """Return the peak FLOP/s of the device of one rank."""
    peak = node.accelerator_flop_per_second if node.accelerators else node.flop_per_second
    if not peak:
        raise ConfigError(
            f"node type {node.name} has no flop_per_second, without which a deep model's time can't be told",
            hint="measure it or declare it",
        )
    return peak
