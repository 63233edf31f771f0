"""Whether the mix was worth it: against every single method, on the same series.

References
----------
Cochran (1977), Sampling techniques, 3rd edition, section 6.4: the variance of a ratio of two sums.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

import pyarrow as pa

from lakemill.core.records import record
from lakemill.training.forecasting.report.subject import MIX, Row, Subject

GOAL: Final = 0.03
"""Least gain on the best single method that makes the mix worth its while."""
WHOLE: Final = 0.99
"""Share of the weight from which a method counts as fitted everywhere."""
NORMAL_95: Final = 1.96

AGAINST_MIX: Final = """
    select o.method, count(*) as series, sum(o.weight) as weight,
           sum(m.weight * m.rmsse) as mix, sum(o.weight * o.rmsse) as own,
           sum(m.weight * m.rmsse * m.weight * m.rmsse) as mix_mix,
           sum(m.weight * m.rmsse * o.weight * o.rmsse) as mix_own,
           sum(o.weight * o.rmsse * o.weight * o.rmsse) as own_own
    from a o join a m on m.method = '{mix}' and {same}
    where o.rmsse is not null and m.rmsse is not null
    group by o.method order by o.method
"""
MEASURED: Final = "select b.* from b join n using (method) where b.weight > 0 and b.unit is not null"
BACKTEST: Final = """
    select b.method, sum(b.weight * b.rmsse) / sum(b.weight) as wrmsse
    from b join (select {keys}, origin from b group by {keys}, origin having count(*) = {n}) w
    on {same} and w.origin = b.origin group by b.method order by wrmsse, b.method
"""


@record
class Comparison:
    """The mix against one method, on the series that both forecast.

    Parameters
    ----------
    method
        The method.
    series
        Number of series.
    share
        Their share of the weight of all series.
    own, mix
        Weighted RMSSE of the method and of the mix on them.
    error
        Standard error of `gain` if the series had been drawn anew.
    """

    method: str
    series: int
    share: float
    own: float
    mix: float
    error: float

    @property
    def gain(self) -> float:
        """By how much the mix is better, as a share of the method's error; negative if it is worse."""
        return 1 - self.mix / self.own

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval of the gain."""
        return self.gain - NORMAL_95 * self.error

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval of the gain."""
        return self.gain + NORMAL_95 * self.error

    @property
    def everywhere(self) -> bool:
        """Whether the method was fitted to all that matters."""
        return self.share >= WHOLE


@record
class Verdict:
    """What the comparison comes to.

    Parameters
    ----------
    comparisons
        The mix against every single method.
    foreseen
        The method that the backtest, seen beforehand, would have picked; "" if unknown.
    """

    comparisons: tuple[Comparison, ...]
    foreseen: str

    @property
    def best(self) -> Comparison:
        """The comparison with the best single method that was fitted everywhere."""
        return min((c for c in self.comparisons if c.everywhere), key=lambda c: c.gain)

    @property
    def partial(self) -> tuple[Comparison, ...]:
        """Comparisons with methods that were fitted to some series only."""
        return tuple(c for c in self.comparisons if not c.everywhere)

    @property
    def against_foreseen(self) -> Comparison | None:
        """The comparison with the method that would have been picked, where it is another than the best."""
        found = (c for c in self.comparisons if c.method == self.foreseen != self.best.method)
        return next(found, None)

    @property
    def reached(self) -> bool:
        """Whether the goal is reached."""
        return self.best.gain >= GOAL

    def of(self, method: str) -> Comparison | None:
        """Return the comparison with a method, None for the mix itself."""
        return next((c for c in self.comparisons if c.method == method), None)


def verdict(subject: Subject) -> Verdict | None:
    """Compare the mix with every single method; None where there is nothing to compare."""
    if not subject.has(subject.table("accuracy")):
        return None
    query = AGAINST_MIX.format(mix=MIX, same=subject.same("o", "m"))
    rows = subject.rows(query, a=subject.result("accuracy"))
    whole = sum(row["weight"] for row in rows if row["method"] == MIX)
    single = tuple(_comparison(row, whole) for row in rows if row["method"] != MIX and row["own"])
    if not any(comparison.everywhere for comparison in single):
        return None
    return Verdict(comparisons=single, foreseen=_foreseen(subject, [c.method for c in single if c.everywhere]))


def _comparison(row: Row, whole: float) -> Comparison:
    ratio = row["mix"] / row["own"]
    square = row["mix_mix"] - 2 * ratio * row["mix_own"] + ratio * ratio * row["own_own"]
    return Comparison(
        method=row["method"],
        series=row["series"],
        share=row["weight"] / whole,
        own=row["own"] / row["weight"],
        mix=row["mix"] / row["weight"],
        error=sqrt(max(square, 0)) / row["own"],
    )


def _foreseen(subject: Subject, methods: list[str]) -> str:
    """Return the method with the best backtest, where all of them have one."""
    if not subject.has(subject.table("backtests")):
        return ""
    measured = subject.sql(MEASURED, b=subject.result("backtests"), n=pa.table({"method": methods}))
    query = BACKTEST.format(keys=subject.keys, n=len(methods), same=subject.same("w", "b"))
    return next((row["method"] for row in subject.rows(query, b=measured)), "")
