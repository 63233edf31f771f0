"""A training set as a table: joined once, read often."""

from __future__ import annotations

import time

from lakemill.catalog.names import check_name
from lakemill.core.planning import Facts
from lakemill.core.records import TableRef, record
from lakemill.engines.process import peak_bytes_of_all
from lakemill.features import facts
from lakemill.features.records import TrainingSet
from lakemill.features.training_set import load
from lakemill.workspace import Workspace, execute
from lakemill.workspace.history import Past, surprise
from lakemill.workspace.planning import facts_of


@record
class TrainingTable:
    """A training set that a task writes to a table.

    Parameters
    ----------
    name
        ``catalog.schema.table``; every run replaces its rows.
    training_set
        What to join.

    Raises
    ------
    ConfigError
        If the name is malformed.
    """

    name: str
    training_set: TrainingSet

    def __post_init__(self) -> None:
        """Refuse a name that no table can have at birth."""
        check_name(self.name)


def write_training_set(ws: Workspace, training_set: TrainingSet, name: str) -> TableRef:
    """Join a training set and write it to a table, in place of what is there.

    What it took is remembered beside what had been predicted, so that `lakemill.plan` knows it.

    Parameters
    ----------
    ws
        The workspace.
    training_set
        What to join.
    name
        The table; columns that it lacks are added.

    Raises
    ------
    NotFoundError, SchemaError, ConfigError
        As in `load`.
    ConflictError
        If another writer changes the table at the same time.
    """
    return _written(ws, training_set, name)[0]


@execute.register
def _(target: TrainingTable, workspace: Workspace) -> str:
    ref, past = _written(workspace, target.training_set, target.name)
    told = f"{ref.name} version {ref.version}: {workspace.catalog.size(ref).rows:,} rows"
    return f"{told}; {unexpected}" if (unexpected := surprise(past)) else told


@facts_of.register
def _(target: TrainingTable, workspace: Workspace) -> Facts:
    return facts_of(target.training_set, workspace)


def _written(ws: Workspace, training_set: TrainingSet, name: str) -> tuple[TableRef, Past]:
    expected, stages, began = facts.expected(ws, training_set), {facts.START: 0.0}, time.perf_counter()
    if not ws.frames.running:
        ws.frames.to_arrow(ws.sql("select 1 as n")).read_all()
        stages[facts.START] = time.perf_counter() - began
    began = time.perf_counter()
    ref = ws.table(name).write(load(ws, training_set), mode="overwrite", evolve=ws.catalog.exists(name))
    stages[facts.JOIN] = time.perf_counter() - began
    past = facts.remember(ws, training_set, stages=stages, peak_bytes=peak_bytes_of_all(), expected=expected)
    return ref, past
