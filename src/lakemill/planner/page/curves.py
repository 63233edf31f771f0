"""Seconds and money over the number of workers, as SVG paths on logarithmic axes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import log
from typing import Final

from lakemill.core.planning import Candidate, Interval, Plan
from lakemill.core.records import record

MOST_TICKS: Final = 5
ROOM: Final = 1.15  # beyond the bounds, so that nothing touches the frame
SECONDS: Final = tuple(
    factor * unit
    for unit, factors in (
        (0.001, (1, 2, 5, 10, 20, 50, 100, 200, 500)),
        (1.0, (1, 2, 5, 10, 20, 30)),
        (60.0, (1, 2, 5, 10, 20, 30)),
        (3600.0, (1, 2, 5, 10, 24, 48, 120, 240, 480, 1200, 2400)),
    )
    for factor in factors
)
AMOUNTS: Final = tuple(factor * 10.0**power for power in range(-4, 7) for factor in (1, 2, 5))
WORKERS: Final = tuple(2.0**power for power in range(16))

Scale = Callable[[float], float]


@record
class Frame:
    """Edges of a drawing, in its own units."""

    width: float = 380
    height: float = 182
    left: float = 52
    right: float = 366
    top: float = 18
    base: float = 144


FRAME: Final = Frame()


@record
class Tick:
    """A place on an axis and its label."""

    at: float
    value: float


@record
class Point:
    """One candidate: its place, and whether it keeps to the limits."""

    x: float
    y: float
    top: float
    bottom: float
    chosen: bool
    breaks: bool


@record
class Drawing:
    """One curve with its 90 % band, ready to be drawn.

    Parameters
    ----------
    limit
        Height of the deadline or of the budget; None if there is none in the drawing.
    """

    line: str
    band: str
    points: tuple[Point, ...]
    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]
    limit: float | None


@record
class Curve:
    """One lane on one cluster; no drawing of money where it costs nothing or has no price."""

    lane: str
    cluster: str
    node: str
    seconds: Drawing
    money: Drawing | None


def curves(made: Plan) -> tuple[Curve, ...]:
    """Return the curves of all lanes and clusters, all on the same axes, the lane of the choice first."""
    best = list(_best_of_each_size(made))
    times = _scale([bound for one in best for bound in _bounds(one.seconds)])
    priced = [one.money for one in best if one.money is not None and one.money.value]
    costs = _scale([bound for money in priced for bound in _bounds(money)]) if priced else None
    groups: dict[tuple[str, str], list[Candidate]] = {}
    for one in best:
        groups.setdefault((one.lane, one.cluster), []).append(one)
    return tuple(_curve(made, group, times=times, costs=costs) for group in groups.values())


def placed(intervals: Iterable[Interval], *, width: float) -> Scale:
    """Return a logarithmic scale of so many units on which all of the intervals lie."""
    return _scale([bound for one in intervals for bound in _bounds(one)]).along(0.0, width)


def _best_of_each_size(made: Plan) -> Iterator[Candidate]:
    """Return for each lane, cluster and number of workers one candidate: the choice, or the best that has memory."""
    found: dict[tuple[str, str, int], Candidate] = {}
    first = [] if made.choice is None else [made.choice]
    for one in [*first, *sorted(made.candidates, key=lambda one: "memory" in one.breaks)]:
        found.setdefault((one.lane, one.cluster, one.workers), one)
    yield from found.values()


def _bounds(interval: Interval) -> tuple[float, ...]:
    return tuple(bound for bound in (interval.low, interval.value, interval.high) if bound > 0)


@record
class _Axis:
    """The bounds of a logarithmic axis."""

    low: float
    high: float

    def along(self, start: float, stop: float) -> Scale:
        span = log(self.high / self.low)
        return lambda value: start + log(min(max(value, self.low), self.high) / self.low) / span * (stop - start)

    def ticks(self, values: Iterable[float], scale: Scale) -> tuple[Tick, ...]:
        """Return round values, evenly thinned."""
        inside = [value for value in values if self.low <= value <= self.high]
        step = -(-len(inside) // MOST_TICKS) or 1
        return tuple(Tick(at=round(scale(value), 1), value=value) for value in inside[::step])


def _scale(values: Sequence[float]) -> _Axis:
    return _Axis(low=min(values) / ROOM, high=max(values) * ROOM)


def _curve(made: Plan, group: Sequence[Candidate], *, times: _Axis, costs: _Axis | None) -> Curve:
    ordered, limits = sorted(group, key=lambda one: one.workers), made.limits
    paid = costs is not None and all(one.money is not None and one.money.value for one in ordered)
    seconds = [one.seconds for one in ordered]
    money = [one.money for one in ordered if one.money is not None]
    drawn = _draw(made, ordered, seconds, axis=times, values=SECONDS, limit=limits.deadline_seconds)
    cost = _draw(made, ordered, money, axis=costs, values=AMOUNTS, limit=limits.budget) if paid and costs else None
    return Curve(lane=group[0].lane, cluster=group[0].cluster, node=group[0].node, seconds=drawn, money=cost)


def _draw(
    made: Plan,
    ordered: Sequence[Candidate],
    figures: Sequence[Interval],
    *,
    axis: _Axis,
    values: Sequence[float],
    limit: float | None,
) -> Drawing:
    most = max(one.workers for one in made.candidates)
    wide = _Axis(low=1.0, high=max(2.0, float(most)))
    x, y = wide.along(FRAME.left, FRAME.right), axis.along(FRAME.base, FRAME.top)
    points = tuple(
        Point(
            x=round(x(one.workers), 1),
            y=round(y(figure.value), 1),
            top=round(y(figure.high), 1),
            bottom=round(y(figure.low), 1),
            chosen=one is made.choice,
            breaks=bool(one.breaks),
        )
        for one, figure in zip(ordered, figures, strict=True)
    )
    return Drawing(
        line=_path((point.x, point.y) for point in points),
        band=_path([*((p.x, p.top) for p in points), *((p.x, p.bottom) for p in reversed(points))]) + "Z",
        points=points,
        rows=axis.ticks(values, y),
        columns=wide.ticks(WORKERS, x),
        limit=round(y(limit), 1) if limit is not None and axis.low < limit < axis.high else None,
    )


def _path(places: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in places)
