"""From a training set to what is trained on: series by position, states at origins, samples.

All of it is SQL that DuckDB and Spark both speak, over integers and exact sums, so that every engine
gives the same numbers to the last bit.
"""

from __future__ import annotations

import pyarrow as pa

from lakemill import features
from lakemill.engines.frames import Frame
from lakemill.training.forecasting.definition import Forecasting
from lakemill.training.forecasting.extent import Extent, check
from lakemill.training.forecasting.grid import TAUGHT, grid
from lakemill.training.many.definition import ManyTraining
from lakemill.workspace import Workspace


class Panel:
    """The frames of a forecasting problem.

    Parameters
    ----------
    workspace
        Where the tables and the frame engine are.
    definition
        The training; its `fit` is a `Forecasting`.
    spine
        Table with one row for each series and open day.
    label
        Its column that is forecast.

    Raises
    ------
    SchemaError
        If spine and calendar do not fit each other, or are too short.
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
        extent = self._extent(spine)
        check(extent, spine=spine, calendar=self.method.calendar, horizon=self.method.horizon)
        self.grid = grid(extent.end, self.method)

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

    def _extent(self, spine: str) -> Extent:
        series = self._sql(
            f"select {self.by}, count(*) as n, min(position) as low, max(position) as high from s group by {self.by}",
            s=self.series,
        )
        row = self._one(
            "select coalesce(sum(n), 0) as n, coalesce(max(high), -1) as high, "
            "coalesce(sum(case when n <> high - low + 1 then 1 else 0 end), 0) as broken from s",
            s=series,
        )
        return Extent(
            rows=self._one("select count(*) as n from s", s=spine)["n"],
            placed=int(row["n"]),
            broken=int(row["broken"]),
            end=int(row["high"]) + 1,
            known=self._one("select count(*) as n from c", c=self.calendar)["n"],
        )

    def _sql(self, query: str, **frames: Frame | str) -> Frame:
        return self.workspace.sql(query, **frames)

    def _rows(self, frame: Frame) -> pa.Table:
        return self.workspace.frames.to_arrow(frame).read_all()

    def _one(self, query: str, **frames: Frame | str) -> dict[str, int]:
        row: dict[str, int] = self._rows(self._sql(query, **frames)).to_pylist()[0]
        return row
