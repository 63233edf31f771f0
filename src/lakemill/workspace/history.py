"""What work took, beside what had been predicted: the planner's memory."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from lakemill.core.planning import Interval
from lakemill.core.records import record, utc_now
from lakemill.metadata import Database
from lakemill.metadata.schema import past_work


@record
class Past:
    """One piece of work that was done.

    Parameters
    ----------
    work
        Names it; the same name, the same work on other data.
    kind
        Kind of work, as its facts are called.
    lane, workers
        Where it ran, and on how many workers.
    items, rows
        Its size.
    seconds
        Wall-clock, engines' start included.
    item_seconds
        Inside the items, summed over them.
    peak_bytes
        Of the largest worker process.
    predicted
        Seconds that were predicted before; None where nobody could.
    """

    work: str
    kind: str
    lane: str
    workers: int
    items: int
    rows: int
    seconds: float
    item_seconds: float
    peak_bytes: int
    predicted: Interval | None
    at: datetime

    @property
    def error(self) -> float | None:
        """Share by which the prediction was too high (below 0: too low); None without one."""
        return None if self.predicted is None else self.predicted.value / self.seconds - 1

    @property
    def inside(self) -> bool:
        """Whether the measured seconds lie in the interval that was stated."""
        return self.predicted is not None and self.predicted.low <= self.seconds <= self.predicted.high


class History:
    """Work done in one workspace.

    Parameters
    ----------
    database
        The workspace's metadata.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, **figures: Any) -> Past:
        """Write down what a piece of work took; the arguments are those of `Past` but the time."""
        past = Past(**figures, at=utc_now())
        with self._database.writing() as connection:
            connection.execute(sa.insert(past_work).values(_row(past)))
        return past

    def newest(self, work: str = "", *, limit: int = 20) -> tuple[Past, ...]:
        """Return the last pieces of work, or those of one name, the newest first."""
        wanted = sa.select(past_work).order_by(past_work.c.id.desc()).limit(limit)
        if work:
            wanted = wanted.where(past_work.c.work == work)
        with self._database.reading() as connection:
            return tuple(_past(row) for row in connection.execute(wanted).mappings())


def _row(past: Past) -> dict[str, Any]:
    row = {name: getattr(past, name) for name in past.__dataclass_fields__ if name != "predicted"}
    predicted = past.predicted
    return {**row, "predicted": None if predicted is None else [predicted.value, predicted.low, predicted.high]}


def _past(row: sa.RowMapping) -> Past:
    figures = {name: value for name, value in row.items() if name not in ("id", "predicted")}
    bounds = row["predicted"]
    return Past(**figures, predicted=bounds and Interval(value=bounds[0], low=bounds[1], high=bounds[2]))
