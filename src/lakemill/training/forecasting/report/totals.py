"""All series together, day by day."""

from __future__ import annotations

from typing import Final

from lakemill.core.records import record
from lakemill.engines.frames import Frame
from lakemill.training.forecasting.report.subject import Subject

LARGE: Final = 0.10
"""Share of the total from which series with little history are set apart."""

NEW: Final = """
    select f.*, s.seen, s.last from (select {keys}, sum(forecast) as units from f group by {keys}) f
    join (
      select {keys}, count(*) as seen, sum(y) as last from h where position < {end}
      group by {keys} having count(*) < {horizon}
    ) s on {same}
"""


@record
class Newcomers:
    """Series with less history than a horizon, whose forecasts stand on little.

    Parameters
    ----------
    series
        Their number.
    units, last
        What is forecast for them in all, and what was there of them so far.
    largest
        Name of the one with the largest forecast.
    largest_units, largest_days
        Its forecast, and its days of history.
    """

    series: int
    units: float
    last: float
    largest: str
    largest_units: float
    largest_days: int


@record
class Totals:
    """Sums over all series but the newcomers, by position on the calendar.

    Parameters
    ----------
    series
        Number of series that are forecast, newcomers included.
    actual
        What happened.
    held
        What was forecast for the held-out days.
    future
        What is forecast.
    last
        What happened in the last horizon before the forecast.
    newcomers
        Series with little history whose forecasts make a large share of the total; None where they
        make a small one, and are summed up with the others.
    """

    series: int
    actual: dict[int, float]
    held: dict[int, float]
    future: dict[int, float]
    last: float
    newcomers: Newcomers | None

    @property
    def next(self) -> float:
        """What is forecast in all."""
        return sum(self.future.values())

    @property
    def change(self) -> float | None:
        """What is forecast against what happened last, as a share of the latter."""
        return self.next / self.last - 1 if self.last else None


def totals(subject: Subject) -> Totals | None:
    """Sum up all series; None while there is no forecast."""
    if not subject.has(subject.forecast):
        return None
    new = _new(subject)
    newcomers = _newcomers(subject, new)
    if newcomers is None:
        new = subject.sql("select * from n where false", n=new)
    actual = _by_position(subject, "y", subject.history, new)
    held = subject.has(subject.table("holdout"))
    count = subject.rows(f"select count(*) as n from (select distinct {subject.keys} from f) s", f=subject.forecast)
    return Totals(
        series=count[0]["n"],
        actual=actual,
        held=_by_position(subject, "forecast", subject.result("holdout"), new) if held else {},
        future=_by_position(subject, "forecast", subject.future, new),
        last=sum(value for at, value in actual.items() if subject.holdout <= at < subject.end),
        newcomers=newcomers,
    )


def _new(subject: Subject) -> Frame:
    horizon, same = subject.method.horizon, subject.same("f", "s")
    query = NEW.format(keys=subject.keys, end=subject.end, horizon=horizon, same=same)
    return subject.sql(query, f=subject.future, h=subject.history)


def _newcomers(subject: Subject, new: Frame) -> Newcomers | None:
    sums = "select count(*) as series, sum(units) as units, sum(last) as last from n"
    together = subject.rows(sums, n=new)[0]
    total = subject.rows("select sum(forecast) as units from f", f=subject.future)[0]["units"]
    if not together["series"] or not total or together["units"] < LARGE * total:
        return None
    largest = subject.rows(f"select * from n order by units desc, {subject.keys} limit 1", n=new)[0]
    return Newcomers(
        **together, largest=subject.name(largest), largest_units=largest["units"], largest_days=largest["seen"]
    )


def _by_position(subject: Subject, column: str, frame: Frame, without: Frame) -> dict[int, float]:
    query = (
        f"select position, sum({column}) as total from t "
        f"where not exists (select 1 from n where {subject.same('n', 't')}) group by position order by position"
    )
    return {row["position"]: row["total"] for row in subject.rows(query, t=frame, n=without)}
