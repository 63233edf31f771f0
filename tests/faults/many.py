"""A training over many groups that tests poison, kill and repeat; child processes import it."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from lakemill.core.records import Context, Resources
from lakemill.training.many import GroupResult, ManyTraining
from lakemill.workspace import Workspace, WorkspaceSettings

LIMIT_BYTES = 600 * 2**20
TABLE = "main.a.rows"
MODEL = "main.a.model"
POISONS = {17: "raise", 318: "hang", 619: "grow", 920: "die"}
KINDS = {17: "exception", 318: "timeout", 619: "memory", 920: "killed"}


class Line:
    """A straight line through a group's values."""

    def __init__(self, slope: float, level: float) -> None:
        self.slope, self.level = slope, level

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        return self.level + self.slope * rows["t"].to_numpy()


def groups(number: int, *, poisoned: bool = False) -> pa.Table:
    """Groups of 5 to 11 rows."""
    generator = np.random.default_rng(7)
    sizes = 5 + np.arange(number) % 7
    k = np.repeat(np.arange(number), sizes)
    t = np.concatenate([np.arange(size) for size in sizes])
    poison = [POISONS.get(key, "") if poisoned else "" for key in k.tolist()]
    return pa.table({"k": k, "t": t, "y": generator.normal(size=len(k)), "poison": poison})


def poison(how: str) -> None:
    if how == "raise":
        raise ValueError("this group is refused")
    if how == "hang":
        ctypes.CDLL(None).sleep(600)  # C code that holds on, whatever Python would like
    if how == "grow":
        time.sleep(len(np.ones(4 * LIMIT_BYTES // 8)))
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)


def recorder(folder: Path):
    """Return a fit function that notes in a file every group it was called for."""

    def fit(rows: pd.DataFrame) -> GroupResult:
        note(folder, int(rows["k"].iloc[0]))
        poison(rows["poison"].iloc[0])
        time.sleep(0.001)
        slope, level = np.polyfit(rows["t"], rows["y"], 1)
        error = float(np.mean((level + slope * rows["t"] - rows["y"]) ** 2))
        return GroupResult(
            model=Line(slope, level), metrics={"mse": error}, tables={"points": rows[["t", "y"]].iloc[:2]}
        )

    return fit


def note(folder: Path, key: int) -> None:
    descriptor = os.open(folder / "fitted", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, key.to_bytes(4, "little"))
    os.close(descriptor)


def fitted(folder: Path) -> list[int]:
    """Return the groups that were fitted, in order, as often as they were."""
    return np.fromfile(folder / "fitted", dtype="<u4").tolist()


def definition(folder: Path, **changes: object) -> ManyTraining:
    given = {
        "training_set": TABLE,
        "by": "k",
        "time": "t",
        "fit": recorder(folder),
        "registered_model": MODEL,
        "outputs": {"points": {"t": "int64", "y": "float64"}},
        "resources": Resources(cpus=1),
    }
    return ManyTraining(**{**given, **changes})


def open_workspace(folder: Path) -> Workspace:
    return Workspace(WorkspaceSettings.in_folder("faults", folder), context=Context(user="tester", run_id="run"))


def rows_of(workspace: Workspace, output: str, *order: str) -> pa.Table:
    """Return a result table in the order of its keys."""
    table = workspace.table(f"{MODEL}_{output}").to_arrow().drop_columns(["training"])
    return table.sort_by([(name, "ascending") for name in ("k", *order)]).combine_chunks()


def models_of(table: pa.Table) -> dict[int, Line]:
    return {k: pickle.loads(model) for k, model in zip(*table.select(["k", "model"]).to_pydict().values(), strict=True)}
