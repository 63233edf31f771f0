"""Plans against facts: many-model trainings, predicted from a run of an eighth, then run in every lane.

``python -m benchmarks.planner [--lanes local,ray,spark] [--quick]``. The machine is measured first. Each job
learns from a training of an eighth of its groups on two local processes; the whole is predicted for every
lane, then trained and registered in each, engines' start included.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks._run import figure, machine, report, seconds
from benchmarks._series import Mean, definition
from lakemill.core.planning import Candidate, Plan
from lakemill.core.records import ClusterSpec, Context
from lakemill.engines.tasks import TASK_ENGINES
from lakemill.training.many import ManyTraining, train
from lakemill.workspace import Workspace, WorkspaceSettings
from lakemill.workspace.hardware import Hardware, keep, measure
from lakemill.workspace.history import History
from lakemill.workspace.planning import plan, state_of

ROWS: Final = 40
LEARNT: Final = 8
TABLE: Final = "main.bench.rows"


@dataclass(frozen=True)
class Job:
    """So many fits, of so many rounds of work a row; `skew` is the exponent by which groups differ in rows."""

    fits: int
    rounds: int
    skew: float = 0.0


JOBS: Final = (
    Job(16, 12_000),
    Job(16, 120_000),
    Job(64, 3_000),
    Job(64, 24_000),
    Job(64, 24_000, skew=0.5),
    Job(256, 1_200),
    Job(256, 9_000),
    Job(256, 9_000, skew=0.5),
    Job(1_024, 300),
    Job(1_024, 2_400),
    Job(4_096, 30),
    Job(4_096, 360),
)


@dataclass(frozen=True)
class Lane:
    """An engine and its workers."""

    kind: str
    workers: int

    def spec(self) -> ClusterSpec:
        """Return the cluster of an engine with these workers."""
        if self.kind == "local":
            return ClusterSpec(num_workers=self.workers)
        return ClusterSpec(kind=self.kind, cpus_per_worker=self.workers)


@dataclass(frozen=True)
class Measured:
    """One job in one lane."""

    job: Hashable
    lane: Lane
    predicted: Candidate
    chosen: bool
    seconds: float
    peak_bytes: int

    @property
    def told(self) -> str:
        """One line for a person."""
        bounds = self.predicted.seconds
        told = f"{self.seconds:.2f} s, predicted {bounds.value:.2f} ({bounds.low:.2f} to {bounds.high:.2f})"
        memory = (
            f"{self.peak_bytes / 2**20:.0f} MiB, predicted {self.predicted.peak_bytes_per_process.value / 2**20:.0f}"
        )
        return f"{self.job} {self.lane}: {told}; {memory}"


def work(rows: pd.DataFrame, *, rounds: int) -> Mean:
    """Fit after so many rounds for each row."""
    total = 0.0
    for number in range(rounds * len(rows)):
        total += number % 7.0
    return Mean(total)


def training(job: Job) -> ManyTraining:
    """Return the declaration of a job."""
    rounds = job.rounds

    def fit(rows: pd.DataFrame) -> Mean:
        return work(rows, rounds=rounds)

    return definition(fit, item_seconds=None)


def rows_of(job: Job, fits: int) -> pa.Table:
    """Return the rows of so many of a job's groups, every eighth one where it is an eighth of them."""
    sizes = ROWS * np.arange(1.0, job.fits + 1) ** -job.skew
    sizes = np.maximum(1, np.round(sizes * ROWS / sizes.mean())).astype(int)[:: job.fits // fits]
    k = np.repeat(np.arange(len(sizes)), sizes)
    return pa.table({"k": k, "t": np.arange(len(k)), "y": np.random.default_rng(0).random(len(k))})


def opened(folder: Path, lane: Lane, run: str) -> Workspace:
    """Open the workspace of a job with the engine of a lane."""
    settings = replace(WorkspaceSettings.in_folder("bench", folder), tasks=lane.spec())
    return Workspace(settings, context=Context(user="bench", run_id=run))


def learnt(job: Job, folder: Path, hardware: Hardware) -> Plan:
    """Train an eighth of the groups, then plan for all of them."""
    with opened(folder, Lane("local", 2), "learn") as workspace:
        keep(hardware, state_of(workspace))
        workspace.catalog.write(TABLE, rows_of(job, max(2, job.fits // LEARNT)))
        train(workspace, training(job))
        workspace.catalog.write(TABLE, rows_of(job, job.fits), mode="overwrite")
        return plan(workspace, training(job)).plan


def run(job: Job, lanes: Sequence[Lane], hardware: Hardware) -> Iterator[Measured]:
    """Plan one job, then do it in every lane."""
    with tempfile.TemporaryDirectory() as folder:
        made = learnt(job, Path(folder), hardware)
        for lane in lanes:
            predicted = next(one for one in made.candidates if (one.lane, one.workers) == (lane.kind, lane.workers))
            with opened(Path(folder), lane, f"{lane}") as workspace:
                taken = seconds(lambda ws=workspace: train(ws, training(job)))  # type: ignore[misc]
                (past,) = History(workspace.database).newest(limit=1)
            yield Measured(job, lane, predicted, predicted == made.choice, taken, past.peak_bytes)


def lanes_of(kinds: Sequence[str], cores: int) -> tuple[Lane, ...]:
    """Return one local process, and every engine on all cores."""
    return (Lane("local", 1), *(Lane(kind, cores) for kind in kinds))


def figures(found: Sequence[Measured], lanes: Sequence[Lane]) -> list[dict[str, Any]]:
    """Return how right the choices and the predictions were."""
    jobs = list(dict.fromkeys(one.job for one in found))
    taken = {(one.job, one.lane): one.seconds for one in found}
    oracle = sum(min(taken[job, lane] for lane in lanes) for job in jobs)
    chosen = sum(one.seconds for one in found if one.chosen)
    errors = [abs(one.predicted.seconds.value / one.seconds - 1) for one in found]
    inside = [one.predicted.seconds.low <= one.seconds <= one.predicted.seconds.high for one in found]
    widths = [(one.predicted.seconds.high - one.predicted.seconds.low) / one.predicted.seconds.value for one in found]
    peaks = [abs(one.predicted.peak_bytes_per_process.value / one.peak_bytes - 1) for one in found]
    fixed = [
        figure(
            f"chosen lanes to always {lane.kind} with {lane.workers}",
            chosen / always(lane, jobs, taken),
            "ratio",
            goal=1.0,
            n=len(jobs),
        )
        for lane in lanes
    ]
    return [
        figure("chosen lanes to the best lane of each job", chosen / oracle, "ratio", goal=1.05, n=len(jobs)),
        *fixed,
        figure("median error of predicted seconds", float(np.median(errors)), "share", goal=0.15, n=len(found)),
        figure(
            "measured seconds inside the 90 % interval",
            float(np.mean(inside)),
            "share",
            goal=0.85,
            better="higher",
            n=len(found),
        ),
        figure("median width of the interval", float(np.median(widths)), "share", goal=0.5, n=len(found)),
        figure(
            "median error of predicted peak of a process", float(np.median(peaks)), "share", goal=0.15, n=len(found)
        ),
    ]


def always(lane: Lane, jobs: Sequence[Hashable], taken: Mapping[tuple[Hashable, Lane], float]) -> float:
    """Return the seconds of all jobs in one lane."""
    return sum(taken[job, lane] for job in jobs)


def main() -> None:
    """Run all jobs and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lanes", default=",".join(TASK_ENGINES.kinds()), help="kinds of engine, by default all")
    parser.add_argument("--quick", action="store_true", help="two jobs: does it run at all")
    given = parser.parse_args()
    facts, hardware = machine(), measure(print)
    lanes = lanes_of(given.lanes.split(","), hardware.node.cores)
    found: list[Measured] = []
    for job in JOBS[:2] if given.quick else JOBS:
        for one in run(job, lanes, hardware):
            found.append(one)
            print(one.told, flush=True)
    report("planner", facts, figures(found, lanes))


if __name__ == "__main__":
    main()
