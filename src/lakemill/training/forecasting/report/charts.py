"""Drawings as SVG paths: what happened as stems, what was forecast as lines and bands.

Coordinates are rounded to a tenth of a unit, which keeps a page of many drawings small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, floor, log10
from typing import Any, Final

from lakemill.core.records import record
from lakemill.training.forecasting.report.numbers import whole
from lakemill.training.forecasting.report.products import Band

SHOWN: Final = 0.97
"""Share of the days whose stems are shown in full; a rare spike would flatten all the rest."""
HEADROOM: Final = 1.06
INTERVALS: Final = 3


@record
class Frame:
    """Size of a drawing and its margins, in units of the drawing."""

    width: float
    height: float
    left: float = 2
    right: float = 2
    top: float = 3
    bottom: float = 2

    @property
    def base(self) -> float:
        """Height of zero."""
        return self.height - self.bottom


PRODUCT: Final = Frame(width=384, height=172, left=40, right=8, top=14, bottom=20)
TOTAL: Final = Frame(width=1160, height=250, left=58, right=10, top=18, bottom=22)
SPARKLINE: Final = Frame(width=150, height=34)


@record
class Tick:
    """A place on an axis and its label."""

    at: float
    label: str


@record
class Drawing:
    """Paths and places, ready to be drawn.

    Parameters
    ----------
    stems
        What happened.
    lines
        What was forecast, and what is.
    bands_80, bands_95
        Their intervals.
    cut
        Where stems go beyond the drawing; the highest with its value.
    rows, columns
        Ticks of the axes.
    holdout, end
        Where the held-out days and the forecast begin.
    stroke
        Width of a stem.
    """

    frame: Frame
    stems: str
    lines: tuple[str, ...]
    bands_80: tuple[str, ...]
    bands_95: tuple[str, ...]
    cut: tuple[Tick, ...]
    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]
    holdout: float
    end: float
    stroke: float


@record
class Span:
    """Positions on the calendar: where a drawing starts, the held-out days, the forecast, its last day."""

    start: int
    holdout: int
    end: int
    last: int


Line = Sequence[tuple[int, float]]


def draw(
    frame: Frame,
    span: Span,
    *,
    history: Mapping[int, float],
    lines: Sequence[Line],
    bands: Sequence[Sequence[Band]] = (),
    days: Mapping[int, Any],
) -> Drawing:
    """Lay out one drawing."""
    shown = {at: value for at, value in history.items() if span.start <= at < span.end}
    top = _top(shown, lines, bands)
    x = _scale(span.start - 0.5, span.last + 0.5, frame.left, frame.width - frame.right)
    y = _scale(0, top, frame.base, frame.top)
    return Drawing(
        frame=frame,
        stems=_stems(shown, x, y, top=top),
        lines=tuple(_line(line, x, y) for line in lines if line),
        bands_80=tuple(_area([(b.position, b.lower_80, b.upper_80) for b in band], x, y) for band in bands if band),
        bands_95=tuple(_area([(b.position, b.lower_95, b.upper_95) for b in band], x, y) for band in bands if band),
        cut=_cut(shown, x, top=top),
        rows=tuple(Tick(at=_tenth(y(value)), label=whole(value)) for value in ticks(top)),
        columns=tuple(Tick(at=_tenth(x(at - 0.5)), label=_short(days.get(at))) for at in _marked(span)),
        holdout=_tenth(x(span.holdout - 0.5)),
        end=_tenth(x(span.end - 0.5)),
        stroke=_tenth(0.68 * (x(1) - x(0))),
    )


def ticks(top: float) -> list[float]:
    """Return 0 and round values up to the top, in whole units.

    Examples
    --------
    >>> ticks(130), ticks(2.4)
    ([0, 50, 100], [0, 1, 2])
    """
    rough = max(top / INTERVALS, 1)
    power = 10 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [step * n for n in range(floor(top / step) + 1)]


def place(low: float, high: float) -> Callable[[float], float]:
    """Return a scale in percent of a width, which nothing leaves.

    Examples
    --------
    >>> at = place(-1, 3)
    >>> at(0), at(99)
    (25.0, 100.0)
    """
    scale = _scale(low, high, 0, 100)
    return lambda value: min(max(scale(value), 0.0), 100.0)


def _top(shown: Mapping[int, float], lines: Sequence[Line], bands: Sequence[Sequence[Band]]) -> float:
    usual = sorted(shown.values())[: max(1, ceil(SHOWN * len(shown)))]
    forecast = [value for line in lines for _, value in line]
    bounds = [point.upper_95 for band in bands for point in band]
    return max([*usual, *forecast, *bounds, 1.0]) * HEADROOM


def _scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (stop - start)


def _stems(shown: Mapping[int, float], x: Callable[[float], float], y: Callable[[float], float], *, top: float) -> str:
    base = _text(y(0))
    return "".join(f"M{_text(x(at))} {base}V{_text(y(min(value, top)))}" for at, value in shown.items() if value > 0)


def _line(line: Line, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    return "M" + "L".join(f"{_text(x(at))} {_text(y(value))}" for at, value in line)


def _area(bounds: Sequence[tuple[int, float, float]], x: Callable[[float], float], y: Callable[[float], float]) -> str:
    upper = [(at, high) for at, _, high in bounds]
    lower = [(at, low) for at, low, _ in reversed(bounds)]
    return _line([*upper, *lower], x, y) + "Z"


def _cut(shown: Mapping[int, float], x: Callable[[float], float], *, top: float) -> tuple[Tick, ...]:
    beyond = {at: value for at, value in shown.items() if value > top}
    highest = max(beyond, key=lambda at: beyond[at], default=None)
    return tuple(Tick(at=_tenth(x(at)), label=whole(beyond[at]) if at == highest else "") for at in beyond)


def _marked(span: Span) -> tuple[int, ...]:
    return (span.start, span.holdout, span.end)


def _short(day: Any) -> str:
    return f"{day.day} {day:%b}" if hasattr(day, "strftime") else ("" if day is None else str(day))


def _tenth(value: float) -> float:
    return round(value, 1)


def _text(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
