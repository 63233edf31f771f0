"""How good the forecast was on the held-out days, by method and by class of demand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lakemill.core.records import record
from lakemill.registry import TRAINING
from lakemill.training.forecasting.accuracy import QUERY
from lakemill.training.forecasting.forecasters.base import ERRATIC, INTERMITTENT, LUMPY, SMOOTH
from lakemill.training.forecasting.report.subject import MIX, Row, Subject

CLASSES: Final = (SMOOTH, ERRATIC, INTERMITTENT, LUMPY)
UNMEASURED_LAST: Final = float("inf")

TAILS: Final = """
    select m.class, count(*) as days, sum(case when h.actual > h.upper_80 then 1 else 0 end) as above,
           sum(m.weight * case when h.actual > h.upper_80 then 1.0 else 0.0 end) as above_weight,
           sum(m.weight * case when h.actual between h.lower_80 and h.upper_80 then 1.0 else 0.0 end) as inside_weight,
           sum(m.weight) as weight
    from h join m on {same} group by m.class
"""


@record
class Standings:
    """Accuracy on the held-out days.

    Parameters
    ----------
    methods
        A row for each method, the best weighted RMSSE first.
    classes
        A row for each class of demand, for the mix.
    grid
        For each method its weighted RMSSE by class.
    above_80
        Share of held-out days on which demand was above the 80 % interval, by class; the whole
        under "".
    weighted_inside_80
        Share of held-out days inside the 80 % interval, weighted as the headline is.
    """

    methods: tuple[Row, ...]
    classes: tuple[Row, ...]
    grid: dict[str, dict[str, float | None]]
    above_80: dict[str, float]
    weighted_inside_80: float | None

    @property
    def mix(self) -> Row:
        """The row of the mix."""
        return next(row for row in self.methods if row["method"] == MIX)

    def best_in(self, kind: str, *, among: Sequence[str]) -> str:
        """Return the method with the least weighted RMSSE in a class."""
        return min(among, key=lambda name: _rank(self.grid[name].get(kind)), default="")


def standings(subject: Subject) -> Standings | None:
    """Return the accuracy of a version, or None where it was not measured."""
    if not subject.has(subject.table("accuracy"), subject.table("holdout")):
        return None
    methods = sorted(_accuracy(subject, "method"), key=lambda row: _rank(row["wrmsse"]))
    if not any(row["method"] == MIX for row in methods):
        return None
    cells = _accuracy(subject, "method, class")
    tails = _tails(subject)
    return Standings(
        methods=tuple(methods),
        classes=tuple(sorted((row for row in cells if row["method"] == MIX), key=_class_order)),
        grid={
            row["method"]: {cell["class"]: cell["wrmsse"] for cell in cells if cell["method"] == row["method"]}
            for row in methods
        },
        above_80=_shares_above(tails),
        weighted_inside_80=_ratio(_total(tails, "inside_weight"), _total(tails, "weight")),
    )


def _accuracy(subject: Subject, by: str) -> list[Row]:
    training = subject.version.tags.get(TRAINING, "")
    return subject.rows(QUERY.format(by=by, training=training), a=subject.table("accuracy"))


def _tails(subject: Subject) -> list[Row]:
    mix = subject.sql(f"select * from a where method = '{MIX}'", a=subject.result("accuracy"))
    return subject.rows(TAILS.format(same=subject.same("h", "m")), h=subject.result("holdout"), m=mix)


def _shares_above(tails: list[Row]) -> dict[str, float]:
    shares = {row["class"]: row["above"] / row["days"] for row in tails}
    days = _total(tails, "days")
    return shares | ({"": _total(tails, "above") / days} if days else {})


def _total(rows: list[Row], column: str) -> float:
    return float(sum(row[column] or 0 for row in rows))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _rank(value: float | None) -> float:
    return UNMEASURED_LAST if value is None else value


def _class_order(row: Row) -> int:
    return CLASSES.index(row["class"]) if row["class"] in CLASSES else len(CLASSES)
