"""Memory that a plan says is enough, imposed: trainings whose workers are ended above a limit.

``python -m benchmarks.planner_memory [--quick]``. Each case is a training whose fits hold memory in proportion to
their rows. A few fits are tried, the plan says whether the whole fits below a limit, and the training is run with
that limit. The watchdog of the workers is the judge: it ends a worker that holds more.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks._run import figure, machine, report
from benchmarks._series import Mean, definition
from lakemill.core.errors import TaskError
from lakemill.core.planning import Cluster
from lakemill.core.records import ClusterSpec, Context, Resources
from lakemill.planner import plan as planned
from lakemill.training.many import ManyTraining, train
from lakemill.workspace import Workspace, WorkspaceSettings
from lakemill.workspace.hardware import Hardware, keep, measure
from lakemill.workspace.planning import plan, state_of

TABLE: Final = "main.bench.rows"
GROUPS: Final = 80
LARGEST: Final = 40  # rows; the smallest group has one
HELD_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Case:
    """So many bytes held for a row of a group, and the bytes that a worker may hold."""

    row_bytes: int
    allowed_bytes: int


@dataclass(frozen=True)
class Outcome:
    """What the plan said of a case, and what became of it."""

    case: Case
    predicted_bytes: float
    fits: bool
    killed: int


MEBI: Final = 2**20
CASES: Final = tuple(
    Case(row_bytes=row * MEBI, allowed_bytes=allowed * MEBI)
    for row in (1, 2, 4, 8, 12, 16)
    for allowed in (224, 320, 448, 640, 1024)
)


def training(case: Case) -> ManyTraining:
    """Return the declaration of a case."""
    row_bytes = case.row_bytes

    def fit(rows: pd.DataFrame) -> Mean:
        held = np.ones(len(rows) * row_bytes // 8)
        time.sleep(HELD_SECONDS)
        return Mean(float(held[-1]))

    return replace(definition(fit, item_seconds=None), resources=Resources(memory_bytes=case.allowed_bytes))


def rows() -> pa.Table:
    """Return the rows of all groups, from one row to the most."""
    sizes = np.linspace(1, LARGEST, GROUPS).round().astype(int)
    k = np.repeat(np.arange(GROUPS), sizes)
    return pa.table({"k": k, "t": np.arange(len(k)), "y": np.zeros(len(k))})


def run(case: Case, hardware: Hardware) -> Outcome:
    """Plan a case from fits without a limit, then train with it."""
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder), hardware) as workspace:
        workspace.catalog.write(TABLE, rows())
        tried = plan(workspace, replace(training(case), resources=Resources()), probe=True)
        limited = replace(tried.facts, allowed_bytes=case.allowed_bytes)  # type: ignore[call-arg]
        made = planned(limited, lanes=hardware.lanes, clusters=[Cluster(node=hardware.node)])
        one = next(one for one in made.candidates if one.lane == "local" and one.workers == hardware.node.cores)
        peak = one.peak_bytes_per_process.value
        return Outcome(case, peak, "memory" not in one.breaks, killed(workspace, case))


def opened(folder: Path, hardware: Hardware) -> Workspace:
    """Open a workspace on this machine's processes."""
    settings = replace(WorkspaceSettings.in_folder("bench", folder), tasks=ClusterSpec())
    workspace = Workspace(settings, context=Context(user="bench", run_id="memory"))
    keep(hardware, state_of(workspace))
    return workspace


def killed(workspace: Workspace, case: Case) -> int:
    """Return how many groups were ended for their memory."""
    try:
        train(workspace, training(case))
    except TaskError:  # every group was
        return GROUPS
    table = f"{training(case).registered_model}_failures"
    if not workspace.catalog.exists(table):
        return 0
    kinds = workspace.frames.to_arrow(workspace.sql("select kind from f", f=table)).read_all()["kind"]
    return sum(kind == "memory" for kind in kinds.to_pylist())


def figures(found: list[Outcome]) -> Iterator[dict[str, Any]]:
    """Return how often the plan was wrong, either way."""
    fits, others = [one for one in found if one.fits], [one for one in found if not one.fits]
    name = "jobs that the plan says fit and whose workers were ended"
    yield figure(name, sum(one.killed > 0 for one in fits), "jobs", goal=0, n=len(fits))
    spared = "jobs that the plan says don't fit and that went through"
    yield figure(spared, sum(one.killed == 0 for one in others), "jobs", n=len(others))


def main() -> None:
    """Run all cases and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="three cases: does it run at all")
    given = parser.parse_args()
    facts, hardware, found = machine(), measure(print), []
    for case in CASES[:3] if given.quick else CASES:
        found.append(one := run(case, hardware))
        told = "fits" if one.fits else "doesn't fit"
        print(f"{case}: {one.predicted_bytes / MEBI:.0f} MiB, {told}; {one.killed} groups ended", flush=True)
    report("planner_memory", facts, list(figures(found)))


if __name__ == "__main__":
    main()
