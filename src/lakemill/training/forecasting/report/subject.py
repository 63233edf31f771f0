"""What a report is about: a forecast, the version that made it, the tables that tell how good it is."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

from lakemill import features
from lakemill.core.errors import ConfigError
from lakemill.engines.frames import Frame
from lakemill.registry import CHAMPION, TRAINING, ModelVersion
from lakemill.training.forecasting.definition import Forecasting
from lakemill.training.many.definition import ManyTraining
from lakemill.workspace import Workspace

MIX: Final = "mix"
Row = dict[str, Any]
Key = tuple[Any, ...]


class Subject:
    """A forecast and where its story is told.

    The figures are those of the champion, which makes the forecasts; while there is none, those of
    the newest version.

    Parameters
    ----------
    workspace
        Where the tables and models are.
    definition
        The training; its `fit` is a `Forecasting`.
    forecast
        Table of the forecast; it need not exist.

    Raises
    ------
    ConfigError
        If the definition is not about forecasting.
    NotFoundError
        If no version of the model is registered.
    """

    def __init__(self, workspace: Workspace, definition: ManyTraining, *, forecast: str) -> None:
        if not isinstance(definition.fit, Forecasting):
            raise ConfigError(
                f"a report needs a training whose fit is a Forecasting, got {type(definition.fit).__name__}",
                hint="declare ManyTraining(fit=Forecasting(...))",
            )
        self.workspace = workspace
        self.definition = definition
        self.method: Forecasting = definition.fit
        self.forecast = forecast
        self.versions = workspace.models.versions(definition.registered_model)
        self.training_set = features.as_training_set(definition.training_set)

    @property
    def newest(self) -> ModelVersion:
        """The version trained last."""
        return self.versions[0]

    @cached_property
    def version(self) -> ModelVersion:
        """The version that the report is about."""
        return next((version for version in self.versions if CHAMPION in version.aliases), self.newest)

    @property
    def time(self) -> str:
        """Column of days."""
        return self.definition.time

    @property
    def keys(self) -> str:
        """Columns that name a series, for a list in a query."""
        return ", ".join(self.definition.keys)

    def same(self, left: str, right: str) -> str:
        """Return the condition that two rows are of one series."""
        return " and ".join(f"{left}.{name} = {right}.{name}" for name in self.definition.keys)

    def key(self, row: Row) -> Key:
        """Return the key of a row's series."""
        return tuple(row[name] for name in self.definition.keys)

    def name(self, row: Row) -> str:
        """Return the text by which a row's series is known."""
        return " | ".join(map(str, self.key(row)))

    def table(self, output: str) -> str:
        """Return the name of a result table."""
        return f"{self.definition.registered_model}_{output}"

    def has(self, *names: str) -> bool:
        """Return whether tables are there."""
        return all(self.workspace.table(name).exists() for name in names)

    def sql(self, query: str, **frames: Frame | str) -> Frame:
        """Run a query on the workspace's engine."""
        return self.workspace.sql(query, **frames)

    def rows(self, query: str, **frames: Frame | str) -> list[Row]:
        """Run a query whose result is small."""
        rows: list[Row] = self.workspace.frames.to_arrow(self.sql(query, **frames)).read_all().to_pylist()
        return rows

    def result(self, output: str, *, version: ModelVersion | None = None) -> Frame:
        """Return the rows that a version's training wrote into a result table."""
        training = (version or self.version).tags.get(TRAINING, "")
        return self.sql(f"select * from t where training = '{training}'", t=self.table(output))

    @cached_property
    def calendar(self) -> Frame:
        """Position and day of every open day."""
        return self.sql(
            f"select row_number() over (order by {self.time}) - 1 as position, {self.time} as day from c",
            c=self.method.calendar,
        )

    @cached_property
    def history(self) -> Frame:
        """What happened: series, position, y."""
        return self.sql(
            f"select {self.keys}, c.position, cast({self.training_set.label} as double) as y "
            f"from s join c on c.day = s.{self.time}",
            s=self.training_set.spine,
            c=self.calendar,
        )

    @cached_property
    def future(self) -> Frame:
        """What is forecast: series, position, forecast and bounds."""
        return self.sql(
            f"select f.*, c.position from f join c on c.day = f.{self.time}", f=self.forecast, c=self.calendar
        )

    @cached_property
    def end(self) -> int:
        """First position of the forecast, or after the data while there is no forecast."""
        if self.has(self.forecast):
            first = self.rows("select min(position) as at from f", f=self.future)[0]["at"]
            if first is not None:
                return int(first)
        last = self.rows("select max(position) as at from h", h=self.history)[0]["at"]
        return 0 if last is None else int(last) + 1

    @property
    def holdout(self) -> int:
        """First position of the held-out days."""
        return self.end - self.method.horizon

    @cached_property
    def days(self) -> dict[int, Any]:
        """Day by position."""
        return {row["position"]: row["day"] for row in self.rows("select position, day from c", c=self.calendar)}
