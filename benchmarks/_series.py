"""Series to train on, and processes whose memory is watched while they do."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks._run import Peak, seconds
from lakemill.core.records import ClusterSpec, Context
from lakemill.engines.tasks import TASK_ENGINES, TaskEngine
from lakemill.training.many import GroupResult, ManyTraining, train
from lakemill.workspace import Workspace, WorkspaceSettings

SEASON: Final = 6
SHORT: Final = 12
SPAWN: Final = multiprocessing.get_context("spawn")


class Mean:
    """The smallest of models."""

    def __init__(self, mean: float) -> None:
        self.mean = mean

    def predict(self, rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[Any]]:
        """Return the mean for every row."""
        return np.full(len(rows), self.mean)


def small_fit(rows: pd.DataFrame) -> GroupResult:
    """Fit at once."""
    return GroupResult(model=Mean(float(rows["y"].to_numpy().mean())))


def table(groups: int, length: int) -> pa.Table:
    """Return so many seasonal series."""
    generator, t = np.random.default_rng(0), np.tile(np.arange(length), groups)
    level = np.repeat(generator.gamma(2.0, 20.0, groups), length)
    y = level * (1 + 0.3 * np.sin(2 * np.pi * t / SEASON)) + generator.normal(0, 5, groups * length)
    return pa.table({"k": np.repeat(np.arange(groups), length), "t": t, "y": y})


@contextmanager
def workspace_with(data: pa.Table | None, tasks: TaskEngine | None, folder: Path) -> Iterator[Workspace]:
    """Open a workspace on a folder, with a table and an engine that is up already."""
    settings = replace(WorkspaceSettings.in_folder("bench", folder), tasks=ClusterSpec())
    with Workspace(settings, context=Context(user="bench")) as workspace:
        if tasks is not None:
            workspace.__dict__["tasks"] = tasks
        if data is not None:
            workspace.catalog.write("main.bench.rows", data)
        yield workspace


def definition(fit: object, **changes: Any) -> ManyTraining:
    """Return the declaration that all contenders share."""
    return ManyTraining(
        training_set="main.bench.rows", by="k", time="t", fit=fit, registered_model="main.bench.model", **changes
    )


def bare(frame: pd.DataFrame, fit: Callable[[pd.DataFrame], Any]) -> list[Any]:
    """Fit in a loop, the models held in memory."""
    return [fit(rows) for _, rows in frame.groupby("k")]


def write_short_series(folder: Path, series: int) -> None:
    """Write the table, in a process of its own, so that making it doesn't count."""
    with workspace_with(table(series, SHORT), None, folder):
        pass


def train_short_series(folder: Path, kind: str) -> None:
    """Train and register, as a process whose memory is watched."""
    tasks = TASK_ENGINES.build({"kind": kind, "spec": ClusterSpec(kind=kind)})
    with workspace_with(None, tasks, folder) as workspace:
        train(workspace, definition(small_fit))
    tasks.close()


def loop_short_series(folder: Path, _kind: str) -> None:
    """Fit in a bare loop, as a process whose memory is watched."""
    with workspace_with(None, None, folder) as workspace:
        bare(workspace.table("main.bench.rows").to_pandas(), small_fit)


def peak_of(work: Callable[[Path, str], None], kind: str, series: int) -> tuple[Peak, float]:
    """Return the peak of a process that does the work, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        writer = SPAWN.Process(target=write_short_series, args=(Path(folder), series))
        writer.start()
        writer.join()
        process = SPAWN.Process(target=work, args=(Path(folder), kind))
        process.start()
        assert process.pid is not None
        with Peak(process.pid) as peak:
            taken = seconds(process.join)
        if process.exitcode:
            raise SystemExit(f"{work.__name__} over {series} series ended with exit code {process.exitcode}")
    return peak, taken
