"""Seconds, bytes and money of one candidate: start-up, serial part, moving, parallel part, stragglers, messages.

References
----------
Amdahl (1967), Validity of the single processor approach to achieving large scale computing capabilities, AFIPS:
serial part. Graham (1969), Bounds on multiprocessing timing anomalies, SIAM J. Appl. Math. 17(2): list scheduling.
Venkataraman et al. (2016), Ernest, NSDI: terms in data over workers, and in workers. Patarasu, Yuan (2009),
Bandwidth optimal all-reduce algorithms for clusters of workstations, JPDC 69(2): ring. Gunther (2007), Guerrilla
capacity planning, chapter 4: contention grows with each processor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Final

from lakemill.core.errors import UnsupportedError
from lakemill.core.planning import (
    NOTHING,
    Ability,
    Candidate,
    Cluster,
    Facts,
    Interval,
    LaneCost,
    NodeType,
    Parts,
    exact,
    total,
    within,
)
from lakemill.core.records import Resources, record
from lakemill.planner.correct import corrected, correction
from lakemill.planner.facts import FeaturePipeline, ManyFits, Search, TableModel

TASKS_PER_WORKER: Final = 16  # what the rooms above cut their work into, so that nobody idles at the end
WIRE_ERROR: Final = 0.25  # assumed, until runs say better: networks are shared


@record
class Load:
    """What a kind of work asks of any lane.

    Parameters
    ----------
    work, serial
        Core-seconds that workers share out, and seconds that none can shorten.
    items
        Indivisible pieces of the work; 0 if it divides at will.
    largest_share
        Share of the work in the largest piece.
    stages
        That follow one another; each is a task to every worker, where the work divides at will.
    most_workers
        More of them have nothing to do; None for no such number.
    shuffled_bytes
        That change their worker once.
    rounds, exchanged_bytes
        All-reduces, and the payload of each.
    own_bytes, split_bytes, spilled_bytes
        That each worker holds, that the workers share out, and of that, what lies on disk in the meantime.
    allowed_bytes
        Above which a worker is ended; None for no such limit.
    """

    work: Interval
    serial: Interval = NOTHING
    items: int = 0
    largest_share: float = 0.0
    stages: int = 1
    most_workers: int | None = None
    shuffled_bytes: int = 0
    rounds: int = 0
    exchanged_bytes: int = 0
    own_bytes: Interval = NOTHING
    split_bytes: Interval = NOTHING
    allowed_bytes: int | None = None
    spilled_bytes: Interval = NOTHING
    busy_cores: float = 1.0
    accelerator_bytes: int = 0
    busy_accelerators: float = 0.0


@singledispatch
def load_of(facts: Facts) -> Load:
    """Return what the work asks of any lane.

    Raises
    ------
    UnsupportedError
        If no arithmetic is known for this kind of work.
    """
    raise UnsupportedError(
        f"no arithmetic for work of kind {type(facts).__name__}",
        hint="use ManyFits for independent functions, or register a function with lakemill.planner.cost.load_of",
    )


@load_of.register
def _pipeline(facts: FeaturePipeline) -> Load:
    return Load(
        work=facts.core_seconds,
        largest_share=facts.largest_share,
        stages=facts.joins,
        shuffled_bytes=facts.shuffled_bytes,
        split_bytes=facts.peak_bytes,
    )


@load_of.register
def _table_model(facts: TableModel) -> Load:
    return Load(
        work=facts.core_seconds * (1 - facts.serial_share),
        serial=facts.core_seconds * facts.serial_share,
        most_workers=None if facts.needs else 1,
        rounds=facts.rounds,
        exchanged_bytes=facts.exchanged_bytes,
        split_bytes=facts.peak_bytes,
    )


@load_of.register
def _many_fits(facts: ManyFits) -> Load:
    return Load(
        work=facts.seconds_per_fit * facts.fits,
        serial=facts.serial_seconds,
        items=facts.fits,
        largest_share=facts.largest_share or 1 / facts.fits,
        most_workers=facts.fits,
        own_bytes=facts.peak_bytes_per_fit,
        busy_cores=facts.busy_cores,
        allowed_bytes=facts.allowed_bytes,
        accelerator_bytes=facts.accelerator_bytes_per_fit,
        busy_accelerators=facts.busy_accelerators,
    )


@load_of.register
def _search(facts: Search) -> Load:
    return Load(
        work=facts.seconds_per_trial * facts.trials,
        items=facts.trials,
        largest_share=1 / facts.trials,
        most_workers=1 if facts.sequential else facts.trials,
        own_bytes=facts.peak_bytes_per_trial,
    )


@singledispatch
def candidates(facts: Facts, lanes: Sequence[LaneCost], clusters: Sequence[Cluster]) -> Iterable[Candidate]:
    """Return every way to do the work, whether it keeps to the limits or not."""
    load, home = load_of(facts), home_of(facts, lanes)
    for lane, cluster in offered(facts.needs, lanes, clusters):
        for nodes, workers in _sizes(load, lane, cluster):
            yield _Site(
                facts=facts,
                load=_fitted(load, lane, cluster.node, nodes=nodes, workers=workers),
                lane=lane,
                home=home,
                cluster=cluster,
                nodes=nodes,
                workers=workers,
            ).price()


def home_of(facts: Facts, lanes: Iterable[LaneCost]) -> LaneCost | None:
    """Return the lane in which the work lives, if it lives in one.

    Raises
    ------
    UnsupportedError
        If that lane's costs are not known.
    """
    if not facts.lives_in:
        return None
    homes = [lane for lane in lanes if lane.kind == facts.lives_in]
    if homes:
        return max(homes, key=lambda lane: set(facts.needs) <= set(lane.abilities))
    raise UnsupportedError(
        f"the work lives in {facts.lives_in}, whose costs are not known; known: {', '.join(x.kind for x in lanes)}",
        hint=f"measure the lane {facts.lives_in}, or leave out lives_in",
    )


def offered(
    needs: Iterable[Ability], lanes: Iterable[LaneCost], clusters: Sequence[Cluster]
) -> Iterator[tuple[LaneCost, Cluster]]:
    """Return each lane that can do the work with each cluster that offers it."""
    wanted = set(needs)
    for lane in lanes:
        for cluster in clusters:
            has_devices = cluster.node.accelerators or "accelerators" not in wanted
            if wanted <= set(lane.abilities) and cluster.offers(lane) and has_devices:
                yield lane, cluster


def counts(most: int) -> tuple[int, ...]:
    """Return numbers of nodes or workers worth a look: all small ones, then steps of about a quarter.

    Examples
    --------
    >>> counts(3), counts(24)[-4:]
    ((1, 2, 3), (15, 16, 20, 24))
    """
    numbers = list(range(1, min(most, 16) + 1))
    while numbers[-1] < most:
        numbers.append(min(most, numbers[-1] * 5 // 4))
    return tuple(numbers)


def makespan(work: Interval, tasks: int, *, workers: int, largest: Interval = NOTHING) -> Interval:
    """Return the seconds until the last of the tasks ends, the largest first, the rest alike.

    No schedule is faster than the work shared out evenly, or than its largest task; no list schedule is
    slower than that and one more task of the rest. Between the two lie tasks in rounds.

    References
    ----------
    Graham (1969), theorem 1: the task that ends last, ``p``, began when all were busy: ``(W-p)/m + p``.

    Examples
    --------
    >>> makespan(exact(10.0), 10, workers=4)
    Interval(value=3.0, low=2.5, high=3.25)
    """
    rounds = -(-tasks // workers) / tasks
    tail = max(
        rounds, 1 / workers + (1 - 1 / workers) / tasks
    )  # equal where rounds come out even, but for the last bit
    return Interval(
        value=max(largest.value, work.value * rounds),
        low=max(largest.low, work.low * (1 / workers)),
        high=max(largest.high, work.high * tail),
    )


def slots(load: Load, node: NodeType) -> int:
    """Return how many workers a node has room for, memory aside; 0 if it has no room for one."""
    by_cores = max(1, int(node.cores / load.busy_cores + 1e-9))
    if load.allowed_bytes:
        by_cores = min(by_cores, max(1, node.memory_bytes // load.allowed_bytes))
    gpus = accelerators_each(load, node)
    if not gpus:
        return by_cores
    return min(by_cores, node.accelerators * int(1 / gpus + 1e-9) if gpus <= 1 else int(node.accelerators / gpus))


def accelerators_each(load: Load, node: NodeType) -> float:
    """Return the share of an accelerator that a worker takes, so that equal shares fill one."""
    held = load.accelerator_bytes / node.accelerator_memory_bytes if load.accelerator_bytes else 0.0
    share = max(held, load.busy_accelerators)
    return 1 / int(1 / share + 1e-9) if 0 < share <= 1 else share


def ring_seconds(payload_bytes: float, ranks: int, *, bytes_per_second: float, latency_seconds: float = 0.0) -> float:
    """Return the seconds of a ring all-reduce: ``2(n-1)`` messages, each a share ``1/n`` of the payload.

    References
    ----------
    Patarasu, Yuan (2009).

    Examples
    --------
    >>> ring_seconds(1e9, 4, bytes_per_second=1e9)
    1.5
    """
    return 2 * (ranks - 1) * (payload_bytes / ranks / bytes_per_second + latency_seconds)


def money_of(cluster: Cluster, nodes: int, *, seconds: Interval) -> Interval | None:
    """Return what a cluster costs while so many of its nodes work, or None where they have no price."""
    price = cluster.node.price_per_hour
    return None if price is None else seconds * (cluster.paid_nodes(nodes) * price / 3600)


def _sizes(load: Load, lane: LaneCost, cluster: Cluster) -> Iterator[tuple[int, int]]:
    """Return nodes and workers: any number on one node; on many, as many as each has memory for."""
    room = 1 if lane.one_worker else max(1, slots(load, cluster.node))
    most = load.most_workers or room * cluster.max_nodes
    yield from ((1, workers) for workers in counts(min(room, most)))
    for nodes in counts(cluster.max_nodes if lane.spans_nodes else 1)[1:]:
        if nodes <= most:
            each = range(min(room, -(-most // nodes)), 1, -1)
            fit = (k for k in each if _node_bytes(load, lane, nodes, per_node=k).high <= cluster.node.memory_bytes)
            yield nodes, min(most, nodes * next(fit, 1))


def _fitted(load: Load, lane: LaneCost, node: NodeType, *, nodes: int, workers: int) -> Load:
    """Return the load with what the nodes' memory has no room for on disk, if the lane can do that."""
    if not lane.spills:
        return load
    bare = _node_bytes(replace(load, split_bytes=NOTHING), lane, nodes, per_node=-(-workers // nodes))
    room, split = nodes * max(0.0, node.memory_bytes - bare.high), load.split_bytes
    low, value, high = (min(room, bound) for bound in (split.low, split.value, split.high))
    return replace(
        load,
        split_bytes=Interval(value=value, low=low, high=high),
        spilled_bytes=Interval(value=split.value - value, low=split.low - low, high=split.high - high),
    )


def _process_bytes(load: Load, lane: LaneCost, workers: int) -> Interval:
    return total([lane.worker_bytes, load.own_bytes, load.split_bytes * (1 / workers)])


def _node_bytes(load: Load, lane: LaneCost, nodes: int, *, per_node: int) -> Interval:
    """Return what the node of the driver holds; workers are alike, so their errors add up straight."""
    return total([lane.driver_bytes, _process_bytes(load, lane, nodes * per_node) * per_node])


@dataclass(frozen=True, kw_only=True)
class _Site:
    """One load in one lane, on so many nodes and workers."""

    facts: Facts
    load: Load
    lane: LaneCost
    home: LaneCost | None
    cluster: Cluster
    nodes: int
    workers: int

    @property
    def per_node(self) -> int:
        """Workers of the fullest node."""
        return -(-self.workers // self.nodes)

    def price(self) -> Candidate:
        """Predict seconds, bytes and money."""
        node = self.cluster.node
        fits, even = self._parallel()
        start, moving, messages = self._start(), self._moving(), self._messages()
        worked = total([self.load.serial, fits]).over(node.core_speed)
        seconds = corrected(total([start, worked, moving, messages]), self.lane.ratios)
        process = _process_bytes(self.load, self.lane, self.workers)
        all_bytes = total([self.lane.driver_bytes, process * self.workers])
        held, memory = self._tightest()
        return Candidate(
            lane=self.lane.kind,
            cluster=self.cluster.name,
            node=node.name,
            nodes=self.nodes,
            workers=self.workers,
            each=Resources(cpus=self.load.busy_cores, gpus=accelerators_each(self.load, node)),
            seconds=seconds,
            parts=Parts(
                start=start.value,
                serial=self.load.serial.value / node.core_speed.value,
                moving=moving.value,
                parallel=even / node.core_speed.value,
                stragglers=(fits.value - even) / node.core_speed.value,
                communication=messages.value,
            ),
            peak_bytes_per_process=all_bytes if self.lane.threads else process,
            total_bytes=all_bytes,
            held_bytes=held,
            memory_bytes=memory,
            money=money_of(self.cluster, self.nodes, seconds=seconds),
            correction=correction(self.lane.ratios),
            complexity=complexity(self.lane, self.home),
        )

    def _start(self) -> Interval:
        runs_already = self.lane.kind == self.facts.lives_in
        return total([self.cluster.start_seconds, NOTHING if runs_already else self.lane.start_seconds])

    def _parallel(self) -> tuple[Interval, float]:
        """Return the seconds until the last worker ends, and what they would be, shared out evenly; at speed 1."""
        load, lane, workers = self.load, self.lane, self.workers
        busy = min(self.cluster.node.cores, self.per_node * load.busy_cores)
        slow = lane.work_factor * (1 + self.cluster.node.slowdown_per_busy_core * max(0.0, busy - 1))
        slowed = load.work.times(slow)
        tasks = min(load.items, TASKS_PER_WORKER * workers) or workers * load.stages
        work = total([slowed, lane.seconds_per_item * load.items, lane.seconds_per_task * tasks])
        largest = total([slowed * load.largest_share, lane.seconds_per_item, lane.seconds_per_task * load.stages])
        pieces = tasks if load.items else TASKS_PER_WORKER * workers  # what divides at will is cut fine
        return makespan(work, pieces, workers=workers, largest=largest), work.value / workers

    def _moving(self) -> Interval:
        """Return the seconds for the data to reach the workers, and to go to disk and back where memory is short."""
        spilled = self.load.spilled_bytes * (2 / self.nodes / self.cluster.node.disk_bytes_per_second)
        if self.lane.kind == self.facts.lives_in:
            return spilled
        out = self.home.seconds_per_byte if self.home else NOTHING
        sent = self.facts.bytes * (self.nodes - 1) / self.nodes / self.cluster.node.network_bytes_per_second
        through = [each * self.facts.bytes for each in (self.lane.seconds_per_byte, out)]
        return total([*through, within(sent, WIRE_ERROR), spilled])

    def _messages(self) -> Interval:
        """Return the seconds of shuffles and all-reduces, first inside the nodes and then among them."""
        node, nodes, payload = self.cluster.node, self.nodes, self.load.exchanged_bytes
        inside = ring_seconds(
            payload,
            self.per_node,
            bytes_per_second=node.ring_bytes_per_second or node.memory_bytes_per_second,
            latency_seconds=node.ring_latency_seconds,
        )
        among = ring_seconds(
            payload,
            nodes,
            bytes_per_second=node.network_bytes_per_second,
            latency_seconds=node.network_latency_seconds,
        )
        # Each node keeps 1/n of what it has and sends the rest, all of them at once.
        shuffle = self.load.shuffled_bytes * (nodes - 1) / nodes**2 / node.network_bytes_per_second
        return within(self.load.rounds * (inside + among) + shuffle, WIRE_ERROR)

    def _tightest(self) -> tuple[Interval, int]:
        """Return what the memory with the least to spare holds and has: a node's, an accelerator's, a worker's limit."""
        node, load = self.cluster.node, self.load
        found = [(_node_bytes(load, self.lane, self.nodes, per_node=self.per_node), node.memory_bytes)]
        if load.accelerator_bytes > node.accelerator_memory_bytes:
            found.append((exact(load.accelerator_bytes), node.accelerator_memory_bytes))
        if load.allowed_bytes is not None:
            found.append((_process_bytes(load, self.lane, self.workers), load.allowed_bytes))
        return min(found, key=lambda one: one[1] - one[0].high)


def complexity(lane: LaneCost, home: LaneCost | None) -> int:
    """Return how many moving parts the lane adds to what is there; leaving the workflow adds one more."""
    if home is None:
        return lane.moving_parts
    return 0 if lane.kind == home.kind else lane.moving_parts + 1
