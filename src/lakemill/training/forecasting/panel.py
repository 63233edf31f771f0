"""From a training set to what is trained on: series by position, states at origins, samples.

All of it is SQL that DuckDB and Spark both speak, over integers and exact sums, so that every engine
gives the same numbers to the last bit.
"""

from __future__ import annotations

import pyarrow as pa

from lakemill import features
from lakemill.core.errors import SchemaError
from lakemill.core.records import record
from lakemill.engines.frames import Frame
from lakemill.training.forecasting.definition import Forecasting
from lakemill.training.many.definition import ManyTraining
from lakemill.workspace import Workspace

EVERY = 7
"""Steps between the origins that the global model learns from."""
STEP_CYCLE = 4
"""An origin teaches every fourth step; which ones, changes from origin to origin."""
TAUGHT = f"mod({{step}}, {STEP_CYCLE}) = mod(cast(floor({{origin}} / {EVERY}) as bigint), {STEP_CYCLE})"
EARLIEST_HORIZONS = 2
"""Horizons of history that an origin needs before the global model learns from it."""


@record
class Grid:
    """Positions on the calendar that matter.

    Parameters
    ----------
    end
        First position after the data: the origin of the real forecast.
    holdout
        Origin of the held-out steps, one horizon before the end.
    backtest
        Origins of the backtest, latest first; their horizons end before the held-out steps.
    learn
        Origins that the global model learns from.
    """

    end: int
    holdout: int
    backtest: tuple[int, ...]
    learn: tuple[int, ...]

    @property
    def predicted(self) -> tuple[int, ...]:
        """Origins at which the global model forecasts."""
        return tuple(sorted({*self.backtest, self.holdout, self.end}))


def grid(end: int, method: Forecasting) -> Grid:
    """Lay out the origins.

    Raises
    ------
    SchemaError
        If the data is too short for the backtest.

    Examples
    --------
    >>> grid(305, Forecasting(horizon=28, calendar="a.b.c")).backtest
    (249, 235, 221)
    """
    holdout = end - method.horizon
    backtest = tuple(holdout - method.horizon - k * method.spacing for k in range(method.origins))
    if backtest[-1] < method.horizon:
        raise SchemaError(
            f"{end} open days are too few for {method.origins} backtest origins and a held-out horizon of "
            f"{method.horizon}: {method.horizon * 3 + (method.origins - 1) * method.spacing} are needed",
            hint="ask for fewer origins or a shorter horizon",
        )
    learn = tuple(p for p in range(end % EVERY, holdout + 1, EVERY) if p > EARLIEST_HORIZONS * method.horizon)
    return Grid(end=end, holdout=holdout, backtest=backtest, learn=learn)


class Panel:
    """The frames of a forecasting problem.

    Parameters
    ----------
    workspace
        Where the tables and the frame engine are.
    definition
        The training; its `fit` is a `Forecasting`.
    """

    def __init__(self, workspace: Workspace, definition: ManyTraining, spine: str, label: str) -> None:
        self.workspace = workspace
        self.definition = definition
        self.method: Forecasting = definition.fit
        self.by = ", ".join(definition.keys)
        self.time = definition.time
        self.calendar = self._sql(
            f"select row_number() over (order by {self.time}) - 1 as position, c.* from c", c=self.method.calendar
        )
        weight = f"cast({self.method.weight} as double)" if self.method.weight else "1.0"
        self.series = self._sql(
            f"select {self.by}, position, cast({label} as double) as y, {weight} as w from s join c using ({self.time})",
            s=spine,
            c=self.calendar,
        )
        self.grid = grid(self._check(spine), self.method)

    def states(self) -> Frame:
        """Return what was known of each series on the morning of each position: scale, weight, steps seen."""
        changes = self._sql(
            f"select {self.by}, position, y, w, y - lag(y) over (partition by {self.by} order by position) as change "
            f"from (select {self.by}, position, y, w from s union all "
            f"select distinct {self.by}, cast({self.grid.end} as bigint), cast(null as double), cast(null as double) from s) u",
            s=self.series,
        )
        past = f"over (partition by {self.by} order by position rows between unbounded preceding and 1 preceding)"
        recent = (
            f"over (partition by {self.by} order by position "
            f"rows between {self.method.horizon} preceding and 1 preceding)"
        )
        sums = self._sql(
            f"select {self.by}, position, sum(change * change) {past} / count(change) {past} as square, "
            f"sum(y) {past} / count(y) {past} as level, count(y) {past} as seen, sum(w) {recent} as weight from s",
            s=changes,
        )
        return self._sql(
            f"select {self.by}, position, seen, weight, "
            "case when square > 0 then sqrt(square) else greatest(level, 1.0) end as scale from s where seen > 0",
            s=sums,
        )

    def samples(self, training_set: features.TrainingSet) -> Frame:
        """Return a row for each series, origin and step: features as of the origin's morning, and the label.

        Look-ups with a time see the origin, for the spine's time column holds the origin's day; what
        the calendar knows is that of the step's own day.
        """
        origins = self._sql(
            f"select s.*, c.{self.time}, o.is_predicted from s join c using (position) join o using (position)",
            s=self.states(),
            c=self.calendar,
            o=self._origins(),
        )
        ahead = self._calendar_columns()
        spine = self._sql(
            f"select {', '.join('o.' + name for name in self.definition.keys)}, o.{self.time}, o.position as origin, "
            f"h.step, o.scale, o.weight, o.seen, {ahead}t.y as label "
            "from o cross join h join c on c.position = o.position + h.step left join t on "
            + " and ".join(f"t.{name} = o.{name}" for name in self.definition.keys)
            + f" and t.position = c.position where o.is_predicted or {TAUGHT.format(origin='o.position', step='h.step')}",
            o=origins,
            h=pa.table({"step": pa.array(range(self.method.horizon), pa.int64())}),
            c=self.calendar,
            t=self.series,
        )
        return features.load(self.workspace, training_set, spine=spine)

    def _origins(self) -> pa.Table:
        wanted = sorted({*self.grid.predicted, *self.grid.learn})
        predicted = [position in self.grid.predicted for position in wanted]
        return pa.table({"position": pa.array(wanted, pa.int64()), "is_predicted": predicted})

    def future_days(self) -> list[object]:
        """Return the days of the real forecast."""
        end = self.grid.end
        query = (
            f"select {self.time} from c where position >= {end} and position < {end + self.method.horizon} order by 1"
        )
        days: list[object] = self._rows(self._sql(query, c=self.calendar))[self.time].to_pylist()
        return days

    def _calendar_columns(self) -> str:
        names = self._rows(self._sql("select * from c limit 0", c=self.calendar)).column_names
        return "".join(f"c.{name}, " for name in names if name not in {"position", self.time})

    def _check(self, spine: str) -> int:
        """Return the first position after the data; refuse gaps, strange days and a short calendar."""
        groups = self._sql(
            f"select {self.by}, count(*) as n, min(position) as low, max(position) as high from s group by {self.by}",
            s=self.series,
        )
        row = self._one(
            "select max(high) as high, sum(n) as n, sum(case when n <> high - low + 1 then 1 else 0 end) as holes from s",
            s=groups,
        )
        days = self._one("select max(position) as last from c", c=self.calendar)
        rows = self._one("select count(*) as n from s", s=spine)["n"]
        if not row["n"]:
            raise SchemaError(
                f"no day of {spine} is in {self.method.calendar}", hint="the days must be equal in type and value"
            )
        if row["n"] != rows:
            raise SchemaError(
                f"{rows - row['n']:,} of {rows:,} rows of {spine} fall on days that are not in {self.method.calendar}",
                hint="the calendar lists every open day",
            )
        if row["holes"]:
            raise SchemaError(
                f"{row['holes']:,} series of {spine} do not have exactly one row for every open day since their first",
                hint="fill days without demand with 0, and keep one row a day",
            )
        end = int(row["high"]) + 1
        if days["last"] + 1 < end + self.method.horizon:
            raise SchemaError(
                f"{self.method.calendar} knows {days['last'] + 1 - end} days after the data, the horizon is {self.method.horizon}",
                hint="add the next open days to the calendar",
            )
        return end

    def _sql(self, query: str, **frames: Frame | str) -> Frame:
        return self.workspace.sql(query, **frames)

    def _rows(self, frame: Frame) -> pa.Table:
        return self.workspace.frames.to_arrow(frame).read_all()

    def _one(self, query: str, **frames: Frame | str) -> dict[str, int]:
        row: dict[str, int] = self._rows(self._sql(query, **frames)).to_pylist()[0]
        return row
