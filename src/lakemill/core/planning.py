"""What a plan is made of: facts about the work, the hardware, the limits; and the plan itself."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import fields
from typing import ClassVar, Final, Literal, get_args

from lakemill.core.errors import ConfigError, nearest
from lakemill.core.records import Resources, record

Ability = Literal["frames", "tasks", "gangs", "feedback", "accelerators"]
Aim = Literal["simplest", "fastest", "cheapest"]
Bottleneck = Literal["data size", "model size", "training time", "number of models", "workflow fit"]
Limit = Literal["memory", "deadline", "budget"]
Source = Literal["given", "metadata", "probe", "history", "assumed"]


def check_between(holder: object, *names: str, least: float, most: float = math.inf) -> None:
    """Refuse fields that are not finite numbers within bounds.

    Raises
    ------
    ConfigError
        If one is not.
    """
    for name in names:
        found = getattr(holder, name)
        if not (least <= found <= most and math.isfinite(found)):
            allowed = f"{least:.3g} or more" if most == math.inf else f"from {least:.3g} to {most:.3g}"
            raise ConfigError(f"{name} of {type(holder).__name__} must be {allowed}, got {found}")


def check_known(word: str, allowed: Iterable[str], *, what: str) -> None:
    """Refuse a word that is not among those allowed.

    Raises
    ------
    ConfigError
        If it is not.
    """
    known = tuple(allowed)
    if word not in known:
        raise ConfigError(f"unknown {what} {word!r}; allowed: {', '.join(map(repr, known))}", hint=nearest(word, known))


@record
class Interval:
    """A figure and the bounds between which it lies nine times out of ten; never negative."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse bounds that don't hold the value at birth."""
        for name in ("value", "low", "high"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not 0 <= self.low <= self.value <= self.high < math.inf:
            raise ConfigError(
                f"an interval needs 0 <= low <= value <= high, got {self.low}, {self.value}, {self.high}",
                hint="use exact(value) or within(value, share)",
            )

    def __mul__(self, factor: float) -> Interval:
        """Scale by an exact factor of 0 or more."""
        return Interval(value=self.value * factor, low=self.low * factor, high=self.high * factor)

    def times(self, factor: Interval) -> Interval:
        """Scale by a factor that is not known exactly; both may be wrong at once."""
        return Interval(value=self.value * factor.value, low=self.low * factor.low, high=self.high * factor.high)

    def over(self, divisor: Interval) -> Interval:
        """Divide by an interval above 0; both may be wrong at once."""
        return Interval(value=self.value / divisor.value, low=self.low / divisor.high, high=self.high / divisor.low)


def exact(value: float) -> Interval:
    """Return a figure that is known."""
    return Interval(value=value, low=value, high=value)


def within(value: float, share: float) -> Interval:
    """Return a figure that may be off by a share of itself, either way.

    Examples
    --------
    >>> within(8.0, 0.25)
    Interval(value=8.0, low=6.0, high=10.0)
    """
    return Interval(value=value, low=value * max(0.0, 1 - share), high=value * (1 + share))


def total(parts: Iterable[Interval]) -> Interval:
    """Add figures whose errors are independent: variances add, so distances to the bounds do as squares.

    References
    ----------
    JCGM 100:2008, Guide to the expression of uncertainty in measurement, section 5.1.2.

    Examples
    --------
    >>> total([within(30, 0.1), within(40, 0.1)])
    Interval(value=70.0, low=65.0, high=75.0)
    """
    parts = tuple(parts)
    value = sum(part.value for part in parts)
    below = math.hypot(*(part.value - part.low for part in parts))
    above = math.hypot(*(part.high - part.value for part in parts))
    return Interval(value=value, low=max(0.0, value - below), high=value + above)


NOTHING: Final = exact(0.0)
ONE: Final = exact(1.0)


@record
class NodeType:
    """One kind of machine, as work finds it.

    Parameters
    ----------
    memory_bytes
        Memory that work may use: what the operating system keeps is not in it.
    core_speed
        Work of one of its cores in a second, all of them busy, over that of a core where the work was measured.
    accelerator_memory_bytes
        Of one accelerator.
    flop_per_second
        Peak of all cores together, in the precision of the work; 0 if not measured.
    accelerator_flop_per_second
        Peak of one accelerator.
    memory_bytes_per_second, accelerator_bytes_per_second
        Between processes, and between accelerators, of one node.
    ring_bytes_per_second, ring_latency_seconds
        Of each message of an all-reduce among processes of one node; 0 if not measured, and then
        `memory_bytes_per_second` stands for it, which is too fast.
    disk_bytes_per_second
        Of files written through and read again.
    network_bytes_per_second, network_latency_seconds
        Of one node, in each direction.
    slowdown_per_busy_core
        Share by which each further busy core slows down all of them (shared caches, memory, clock).
    price_per_hour
        In the currency of the budget; 0 for a machine that is paid anyway, None if unknown.
    """

    name: str
    cores: int
    memory_bytes: int
    core_speed: Interval = ONE
    accelerators: int = 0
    accelerator_memory_bytes: int = 0
    flop_per_second: float = 0.0
    accelerator_flop_per_second: float = 0.0
    memory_bytes_per_second: float = 1e10
    accelerator_bytes_per_second: float = 1e10
    ring_bytes_per_second: float = 0.0
    ring_latency_seconds: float = 0.0
    disk_bytes_per_second: float = 2e8
    network_bytes_per_second: float = 1.25e9
    network_latency_seconds: float = 1e-4
    slowdown_per_busy_core: float = 0.0
    price_per_hour: float | None = None

    def __post_init__(self) -> None:
        """Refuse impossible machines at birth."""
        check_between(self, "cores", "memory_bytes", "memory_bytes_per_second", "network_bytes_per_second", least=1)
        check_between(self, "accelerator_bytes_per_second", "disk_bytes_per_second", least=1)
        check_between(
            self, "accelerators", "flop_per_second", "network_latency_seconds", "slowdown_per_busy_core", least=0
        )
        check_between(self, "ring_bytes_per_second", "ring_latency_seconds", least=0)
        if self.accelerators:
            check_between(self, "accelerator_memory_bytes", "accelerator_flop_per_second", least=1)
        if self.price_per_hour is not None:
            check_between(self, "price_per_hour", least=0)
        if not self.core_speed.low:
            raise ConfigError(f"core_speed of NodeType must be above 0, got {self.core_speed}")


@record
class Cluster:
    """Nodes of one kind that can be had; this machine is a cluster of one.

    Parameters
    ----------
    name
        What it is called; by default as its node type.
    min_nodes, max_nodes
        Nodes that are paid even where fewer work, and nodes that may work.
    driver_nodes
        Nodes beside them that do no work and are paid as well.
    start_seconds
        Until its nodes are there; nothing for one that runs already.
    lanes
        Kinds of lane that it offers; empty for all.
    assumed
        Its figures, and those of its nodes, that nobody measured or stated.
    """

    node: NodeType
    name: str = ""
    min_nodes: int = 1
    max_nodes: int = 1
    driver_nodes: int = 0
    start_seconds: Interval = NOTHING
    lanes: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a cluster without nodes at birth."""
        object.__setattr__(self, "name", self.name or self.node.name)
        check_between(self, "min_nodes", "max_nodes", least=1)
        check_between(self, "min_nodes", least=1, most=self.max_nodes)
        check_between(self, "driver_nodes", least=0)

    def offers(self, lane: LaneCost) -> bool:
        """Return whether a lane runs on it."""
        return not self.lanes or lane.kind in self.lanes

    def paid_nodes(self, working: int) -> int:
        """Return how many nodes are paid while so many work."""
        return max(working, self.min_nodes) + self.driver_nodes


@record
class LaneCost:
    """What one way of running work costs beyond the work; stated by an engine's kind or measured.

    Parameters
    ----------
    kind
        The engine's kind: ``process``, ``local``, ``ray``, ``spark``.
    abilities
        Which of the verbs it has, whether the outcome of one task may steer the next (``feedback``),
        and whether it deals out accelerators.
    start_seconds
        Until the first task runs, where nothing runs yet.
    seconds_per_task, seconds_per_item
        That a worker loses on each task, and on each item of a task.
    seconds_per_byte
        To move a byte of the tables that are read through this lane's workers, and write what comes of it.
    driver_bytes, worker_bytes
        Resident memory of the driver, and of each worker, before the work's own.
    work_factor
        By how much the same work takes longer than in a plain process.
    spills
        Whether what its memory has no room for goes to disk, so that work is slower and not killed.
    ratios
        Measured over predicted seconds of the last work of the kind that is planned, in this lane.
    threads
        Whether its workers are threads of the driver's process.
    one_worker, spans_nodes
        Whether it is a single process; whether it reaches beyond one node.
    extra
        The optional package that it needs; empty for none.
    assumed
        Whether its costs were never measured on this machine.
    """

    kind: str
    abilities: tuple[Ability, ...]
    start_seconds: Interval = NOTHING
    seconds_per_task: Interval = NOTHING
    seconds_per_item: Interval = NOTHING
    seconds_per_byte: Interval = NOTHING
    driver_bytes: Interval = NOTHING
    worker_bytes: Interval = NOTHING
    work_factor: Interval = ONE
    ratios: tuple[float, ...] = ()
    spills: bool = False
    threads: bool = False
    one_worker: bool = False
    spans_nodes: bool = False
    extra: str = ""
    assumed: bool = False

    def __post_init__(self) -> None:
        """Refuse a lane that contradicts itself at birth."""
        for ability in self.abilities:
            check_known(ability, get_args(Ability), what="ability")
        if self.one_worker and self.spans_nodes:
            raise ConfigError(f"lane {self.kind} has one worker and spans nodes; allowed: at most one of both")
        if self.work_factor.low <= 0 or min(self.ratios, default=1.0) <= 0:
            raise ConfigError(
                f"work_factor and ratios of lane {self.kind} must be above 0, got {self.work_factor.low:g} and {self.ratios}"
            )

    @property
    def moving_parts(self) -> int:
        """How much there is to it: more than one process, more than one machine, another package."""
        return (not self.one_worker) + self.spans_nodes + bool(self.extra)


@record
class Facts:
    """What is known of any work.

    Parameters
    ----------
    rows, bytes
        Of the data that it reads; bytes as they travel, so in memory and not compressed.
    lives_in
        Kind of the lane that runs already and holds the data; empty for tables at rest.
    sources
        Where a field's figure comes from, by field; a field that is not named was given by a person.
    """

    nature: ClassVar[Bottleneck] = "training time"  # what holds it back where memory and wires don't
    too_big: ClassVar[Bottleneck] = "data size"  # what does where memory does not do
    grows: ClassVar[tuple[str, ...]] = ("rows", "bytes")  # fields in proportion to its size, which the first names

    rows: int
    bytes: int
    lives_in: str = ""
    sources: tuple[tuple[str, Source], ...] = ()

    def __post_init__(self) -> None:
        """Refuse impossible amounts at birth."""
        check_between(self, "rows", "bytes", least=0)
        for name, source in self.sources:
            check_known(name, [field.name for field in fields(self)], what="field")
            check_known(source, get_args(Source), what="source")

    @property
    def needs(self) -> tuple[Ability, ...]:
        """Abilities without which a lane can't do it."""
        return ()

    @property
    def assumed(self) -> tuple[str, ...]:
        """Fields that nobody measured."""
        return tuple(name for name, source in self.sources if source == "assumed")


@record
class Limits:
    """What a plan must keep to, and what it is for.

    Parameters
    ----------
    budget
        Money for one run, start-up included.
    aim
        ``simplest``: the simplest within 10 % of the best time. ``fastest``: the best time itself.
        ``cheapest``: the simplest within 10 % of the lowest cost.
    """

    deadline_seconds: float | None = None
    budget: float | None = None
    aim: Aim = "simplest"

    def __post_init__(self) -> None:
        """Refuse impossible limits at birth."""
        check_known(self.aim, get_args(Aim), what="aim")
        given = [name for name in ("deadline_seconds", "budget") if getattr(self, name) is not None]
        check_between(self, *given, least=0)
        for name in given:
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.deadline_seconds == 0:
            raise ConfigError("deadline_seconds must be above 0, got 0", hint="leave it out for no deadline")


@record
class Parts:
    """Predicted seconds by what they go to; their sum is the candidate's value before its correction."""

    start: float = 0.0
    serial: float = 0.0
    moving: float = 0.0
    parallel: float = 0.0
    stragglers: float = 0.0
    communication: float = 0.0


@record
class Candidate:
    """One way to do the work, and what it would take.

    Parameters
    ----------
    lane, cluster, node
        Kind of the lane, name of the cluster and of its node type.
    workers
        Over all nodes; ranks for a deep model.
    cut
        Ways of cutting one model, with their degrees.
    each
        What a worker asks of its node.
    held_bytes, memory_bytes
        What the tightest memory, of a node or an accelerator, holds and has.
    money
        None where the node has no price.
    correction
        Factor by which past predictions of such work corrected the seconds.
    breaks
        Limits that it doesn't keep to.
    complexity
        Moving parts beyond what runs already; fewer is simpler.
    """

    lane: str
    cluster: str
    node: str
    nodes: int
    workers: int
    cut: tuple[tuple[str, int], ...] = ()
    each: Resources = Resources()
    seconds: Interval
    parts: Parts
    peak_bytes_per_process: Interval
    total_bytes: Interval
    held_bytes: Interval
    memory_bytes: int
    money: Interval | None = None
    correction: float = 1.0
    breaks: tuple[Limit, ...] = ()
    complexity: int = 0

    @property
    def spare_bytes(self) -> float:
        """What the tightest memory has left at the upper bound; below 0 it doesn't fit."""
        return self.memory_bytes - self.held_bytes.high

    @property
    def design(self) -> tuple[str, str, bool, tuple[str, ...]]:
        """What a person would call another design, not another size of the same."""
        return self.lane, self.cluster, self.nodes > 1, tuple(kind for kind, _ in self.cut)


@record
class BreakEven:
    """Where another candidate would be chosen: at this amount of a quantity."""

    quantity: str
    amount: float
    becomes: str


@record
class Relaxation:
    """One limit, and what it would have to be for a candidate to meet it; `also` names limits that must give too."""

    limit: Limit
    allowed: float
    needed: float
    then: str
    also: tuple[Limit, ...] = ()


@record
class Plan:
    """One recommendation, what it rests on, and what would change it.

    Parameters
    ----------
    choice
        None where nothing meets the limits; then `relax` says what would.
    candidates
        All that were weighed, the best for the aim first.
    """

    bottleneck: Bottleneck
    choice: Candidate | None
    candidates: tuple[Candidate, ...]
    limits: Limits
    reasons: tuple[str, ...]
    break_even: tuple[BreakEven, ...] = ()
    relax: tuple[Relaxation, ...] = ()
    assumed: tuple[str, ...] = ()
