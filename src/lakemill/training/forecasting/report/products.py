"""Single series that a reader wants to see: those drawn, and those that cost most."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from lakemill.core.records import record
from lakemill.engines.frames import Frame
from lakemill.training.forecasting.report.subject import MIX, Key, Row, Subject

DRAWN: Final = 12
WORST: Final = 10
HORIZONS_BACK: Final = 5
"""Horizons of history in a drawing, the held-out days included."""

OF_EACH_CLASS: Final = """
    select {keys}, class, weight, wrmsse_share, turn from (
      select *, row_number() over (partition by class order by weight desc, {keys}) as turn from m
    ) ranked order by turn, weight desc, {keys} limit {n}
"""
COSTLIEST: Final = """
    select {keys}, class, weight, wrmsse_share, rmsse, forecast_units, actual_units
    from m where wrmsse_share > 0 order by wrmsse_share desc, {keys} limit {n}
"""
WITH_SHARES: Final = """
    select a.*, a.weight * a.rmsse / nullif(t.total, 0) as wrmsse_share
    from a cross join (select sum(weight * rmsse) as total from a) t
"""
BOUNDS: Final = "forecast, lower_80, upper_80, lower_95, upper_95"


@record
class Band:
    """A forecast day by day: position, expected value, bounds of the 80 and 95 % intervals."""

    position: int
    forecast: float
    lower_80: float
    upper_80: float
    lower_95: float
    upper_95: float


@record
class Curve:
    """One series.

    Parameters
    ----------
    name
        Its key as text.
    facts
        Its row among those chosen.
    history
        What happened, by position.
    held
        What was forecast for the held-out days.
    future
        What is forecast.
    """

    name: str
    facts: Row
    history: dict[int, float]
    held: tuple[Band, ...]
    future: tuple[Band, ...]


def drawn_curves(subject: Subject) -> tuple[Curve, ...]:
    """Return a dozen series: of each class in turn the one that weighs most."""
    return _curves(subject, OF_EACH_CLASS, DRAWN)


def worst_curves(subject: Subject) -> tuple[Curve, ...]:
    """Return the series that add most to the weighted RMSSE of the mix, the worst first."""
    return _curves(subject, COSTLIEST, WORST)


def _curves(subject: Subject, query: str, n: int) -> tuple[Curve, ...]:
    if not subject.has(subject.table("accuracy"), subject.table("holdout")):
        return ()
    mix = subject.sql(f"select * from a where method = '{MIX}'", a=subject.result("accuracy"))
    frame = subject.sql(query.format(keys=subject.keys, n=n), m=subject.sql(WITH_SHARES, a=mix))
    chosen = subject.workspace.frames.to_arrow(frame).read_all()
    history = _by_key(subject, f"select {_columns(subject)}, s.y from s join k on {{}}", subject.history, chosen)
    held = _bands(subject, subject.result("holdout"), chosen)
    future = _bands(subject, subject.future, chosen) if subject.has(subject.forecast) else {}
    return tuple(
        Curve(
            name=subject.name(row),
            facts=row,
            history={point["position"]: point["y"] for point in history.get(subject.key(row), [])},
            held=held.get(subject.key(row), ()),
            future=future.get(subject.key(row), ()),
        )
        for row in chosen.to_pylist()
    )


def _bands(subject: Subject, frame: Frame, chosen: pa.Table) -> dict[Key, tuple[Band, ...]]:
    query = f"select {_columns(subject)}, {BOUNDS} from s join k on {{}}"
    found = _by_key(subject, query, frame, chosen)
    fields = Band.__dataclass_fields__
    return {key: tuple(Band(**{field: row[field] for field in fields}) for row in rows) for key, rows in found.items()}


def _by_key(subject: Subject, query: str, frame: Frame, chosen: pa.Table) -> dict[Key, list[Row]]:
    """Return rows near the forecast, of the chosen series only, by series and position."""
    since = subject.end - HORIZONS_BACK * subject.method.horizon
    keys = chosen.select(list(subject.definition.keys))
    joined = query.format(subject.same("s", "k")) + f" where s.position >= {since} order by s.position"
    found: dict[Key, list[Row]] = {}
    for row in subject.rows(joined, s=frame, k=keys):
        found.setdefault(subject.key(row), []).append(row)
    return found


def _columns(subject: Subject) -> str:
    return ", ".join(f"s.{name}" for name in (*subject.definition.keys, "position"))
