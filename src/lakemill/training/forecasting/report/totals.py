"""All series together, day by day."""

from __future__ import annotations

from lakemill.core.records import record
from lakemill.training.forecasting.report.subject import Subject


@record
class Totals:
    """Sums over all series, by position on the calendar.

    Parameters
    ----------
    series
        Number of series that are forecast.
    actual
        What happened.
    held
        What was forecast for the held-out days.
    future
        What is forecast.
    last
        What happened in the last horizon before the forecast.
    """

    series: int
    actual: dict[int, float]
    held: dict[int, float]
    future: dict[int, float]
    last: float

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
    actual = _by_position(subject, "y", subject.history)
    held = _by_position(subject, "forecast", subject.result("holdout")) if subject.has(subject.table("holdout")) else {}
    count = subject.rows(f"select count(*) as n from (select distinct {subject.keys} from f) s", f=subject.forecast)
    return Totals(
        series=count[0]["n"],
        actual=actual,
        held=held,
        future=_by_position(subject, "forecast", subject.future),
        last=sum(value for at, value in actual.items() if subject.holdout <= at < subject.end),
    )


def _by_position(subject: Subject, column: str, frame: object) -> dict[int, float]:
    query = f"select position, sum({column}) as total from t group by position order by position"
    return {row["position"]: row["total"] for row in subject.rows(query, t=frame)}
