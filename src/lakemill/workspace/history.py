"""What work took, beside what had been predicted: the planner's memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, field
from datetime import datetime
from statistics import median
from typing import Any, Final

import sqlalchemy as sa

from lakemill.core.planning import Candidate, Facts, Interval, Parts, Source
from lakemill.core.records import record, utc_now
from lakemill.metadata import Database
from lakemill.metadata.schema import past_work
from lakemill.planner.correct import correction
from lakemill.planner.wording import in_seconds

LEARNT_FROM: Final = 20  # of a kind, in a lane
FAR: Final = 1.25  # a tenth of all work lies outside its interval, so only this much beyond a bound is worth a word
WEAKEST_FIRST: Final[tuple[Source, ...]] = ("assumed", "probe", "history", "metadata", "given")


@record
class Prediction:
    """What was predicted of one piece of work before it ran.

    Parameters
    ----------
    parts
        Seconds by what they go to, before the correction.
    correction
        Factor by which past predictions corrected the seconds.
    basis
        The weakest source of the facts that it rests on.
    """

    seconds: Interval
    peak_bytes: Interval
    money: Interval | None
    parts: Parts
    correction: float
    basis: Source

    @classmethod
    def of(cls, candidate: Candidate, facts: Facts) -> Prediction:
        """Return what a plan says of one candidate."""
        sources = {source for _, source in facts.sources} or {"given"}
        return cls(
            seconds=candidate.seconds,
            peak_bytes=candidate.peak_bytes_per_process,
            money=candidate.money,
            parts=candidate.parts,
            correction=candidate.correction,
            basis=next(source for source in WEAKEST_FIRST if source in sources),
        )


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
        Of the largest worker process; of all together where threads share the work.
    predicted
        What was predicted before; None where nobody could.
    stages
        Wall-clock seconds by stage.
    money
        What it cost; None where the machine has no price.
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
    predicted: Prediction | None
    stages: Mapping[str, float] = field(default_factory=dict)
    money: float | None = None
    at: datetime

    @property
    def error(self) -> float | None:
        """Share by which the prediction was too high (below 0: too low); None without one."""
        return None if self.predicted is None else self.predicted.seconds.value / self.seconds - 1

    @property
    def inside(self) -> bool:
        """Whether the measured seconds lie in the interval that was stated."""
        return self.predicted is not None and self._beyond <= 1

    @property
    def surprising(self) -> bool:
        """Whether the measured seconds lie far outside an interval that rests on more than assumptions."""
        return self.predicted is not None and self.predicted.basis != "assumed" and self._beyond > FAR

    @property
    def _beyond(self) -> float:
        """By what factor the measured seconds are beyond the nearer bound; at most 1 inside."""
        assert self.predicted is not None
        bounds = self.predicted.seconds
        return max(self.seconds / max(bounds.high, 1e-9), bounds.low / self.seconds)


def surprise(past: Past) -> str:
    """Return in words that work took much more or less than was predicted; nothing if it did not."""
    if past.predicted is None or not past.surprising:
        return ""
    bounds = past.predicted.seconds
    return (
        f"took {in_seconds(past.seconds)} where {in_seconds(bounds.low)} to {in_seconds(bounds.high)} were predicted "
        "(lakemill plan --history)"
    )


@record
class Track:
    """How predictions of one kind of work in one lane came out.

    Parameters
    ----------
    runs
        With a prediction that rests on more than assumptions.
    median_error
        Of the predictions, as a share of what was measured; above 0 where they were too high.
    inside
        Share of the runs inside their interval.
    correction
        Factor by which the next prediction is corrected.
    """

    kind: str
    lane: str
    runs: int
    median_error: float
    inside: float
    correction: float


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
        return self._found(wanted)

    def last(self, work: str) -> Past | None:
        """Return what the work of a name took the last time, None if it was never done."""
        return next(iter(self.newest(work, limit=1)), None)

    def ratios(self, kind: str, lane: str) -> tuple[float, ...]:
        """Return measured over predicted seconds of the last work of a kind in a lane, corrections taken out.

        Predictions that rest on assumptions teach nothing about the arithmetic, and are left out.
        """
        found = self._found(_judged(kind, lane).limit(LEARNT_FROM))
        return tuple(past.seconds * one.correction / one.seconds.value for past in found if (one := past.predicted))

    def tracks(self) -> tuple[Track, ...]:
        """Return how predictions came out, for each kind of work and lane."""
        columns = (past_work.c.kind, past_work.c.lane)
        with self._database.reading() as connection:
            pairs = connection.execute(sa.select(*columns).distinct().order_by(*columns)).all()
        return tuple(track for kind, lane in pairs if (track := self._track(kind, lane)))

    def _track(self, kind: str, lane: str) -> Track | None:
        judged = self._found(_judged(kind, lane))
        if not judged:
            return None
        return Track(
            kind=kind,
            lane=lane,
            runs=len(judged),
            median_error=median(past.error or 0.0 for past in judged),
            inside=sum(past.inside for past in judged) / len(judged),
            correction=correction(self.ratios(kind, lane)),
        )

    def _found(self, wanted: sa.Select[Any]) -> tuple[Past, ...]:
        with self._database.reading() as connection:
            return tuple(_past(row) for row in connection.execute(wanted).mappings())


def _judged(kind: str, lane: str) -> sa.Select[Any]:
    """Return the query for work whose prediction rests on more than assumptions, the newest first."""
    of_kind = sa.select(past_work).where(past_work.c.kind == kind, past_work.c.lane == lane)
    judged = of_kind.where(past_work.c.prediction["basis"].as_string() != "assumed")
    return judged.order_by(past_work.c.id.desc())


def _row(past: Past) -> dict[str, Any]:
    row = {name: getattr(past, name) for name in past.__dataclass_fields__ if name not in ("predicted", "stages")}
    return {**row, "stages": dict(past.stages), "prediction": past.predicted and asdict(past.predicted)}


def _past(row: sa.RowMapping) -> Past:
    figures = {name: value for name, value in row.items() if name not in ("id", "prediction")}
    return Past(**figures, predicted=row["prediction"] and _prediction(row["prediction"]))


def _prediction(told: dict[str, Any]) -> Prediction:
    intervals = {name: told[name] and Interval(**told[name]) for name in ("seconds", "peak_bytes", "money")}
    return Prediction(**{**told, **intervals, "parts": Parts(**told["parts"])})
