"""Plans against facts: training sets, predicted from a run on an eighth of other rows, then joined in every lane.

``python -m benchmarks.planner_features [--lanes local,spark] [--quick]``. The machine is measured first. Each job
learns from a training set of an eighth of its size, of other rows, written by DuckDB on all cores in a process of its
own; the whole is predicted for every lane, then joined and written in each, in a process of its own, engine's start
included.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from benchmarks._run import machine, report
from benchmarks.planner import Lane, Measured, figures
from lakemill import features
from lakemill.core.planning import Plan
from lakemill.core.records import ClusterSpec, Context
from lakemill.engines.frames import FRAME_ENGINES
from lakemill.engines.measure import in_a_process
from lakemill.engines.process import Attempt
from lakemill.features import FeatureLookup, TrainingSet
from lakemill.workspace import Workspace, WorkspaceSettings
from lakemill.workspace.hardware import Hardware, keep, measure
from lakemill.workspace.history import History, Past
from lakemill.workspace.planning import plan, state_of

LEARNT: Final = 8
SPINE: Final = "main.bench.spine"
OUT: Final = "main.bench.joined"
INSTANTS: Final = 10**14  # microseconds of 3 years: no key has two rows at one of them


@dataclass(frozen=True)
class Join:
    """A spine of so many rows, and look-ups in feature tables of `each` times as many.

    `keys` is the number of rows for a key, on average; `skew` the exponent by which keys differ in rows; `columns`
    the features of a look-up.
    """

    rows: int
    tables: int
    each: float = 1.0
    keys: int = 50
    skew: float = 0.0
    columns: int = 1


JOBS: Final = (
    Join(20_000, 1),
    Join(20_000, 3),
    Join(100_000, 1, columns=8),
    Join(200_000, 2),
    Join(200_000, 2, skew=0.9),
    Join(400_000, 1, each=4),
    Join(400_000, 3),
    Join(800_000, 1),
    Join(800_000, 1, keys=5_000),
    Join(800_000, 1, skew=0.9),
    Join(800_000, 2, each=0.25, columns=4),
    Join(1_600_000, 1),
    Join(1_600_000, 3, each=0.5),
    Join(3_200_000, 1, each=0.1),
    Join(4_000_000, 2),
)


def rows(job: Join, number: int, *, seed: int, values: Sequence[str]) -> pa.Table:
    """Return rows of a key, an instant and some values."""
    random = np.random.default_rng(seed)
    weights = np.arange(1.0, max(2, number // job.keys) + 1) ** -job.skew
    key = np.searchsorted(np.cumsum(weights) / weights.sum(), random.random(number))
    at = pa.array(random.integers(0, INSTANTS, number), pa.timestamp("us", tz="UTC"))
    return pa.table({"key": key, "at": at, **{name: random.random(number) for name in values}})


def training_set(job: Join) -> TrainingSet:
    """Return the declaration of a job."""
    names = [f"main.bench.features_{number}" for number in range(job.tables)]
    return TrainingSet(
        spine=SPINE,
        lookups=[FeatureLookup(table_name=name, lookup_key="key", timestamp_lookup_key="at") for name in names],
    )


def fill(workspace: Workspace, job: Join, share: float, *, seed: int) -> None:
    """Write a share of a job's tables; another seed, other rows."""
    spine = rows(job, int(job.rows * share), seed=seed, values=["label"])
    workspace.catalog.write(SPINE, spine, mode="overwrite")
    for number, lookup in enumerate(training_set(job).lookups, start=1):
        values = [f"f{number}_{column}" for column in range(job.columns)]
        data = rows(job, int(job.rows * share * job.each), seed=seed + number, values=values)
        name = lookup.table_name
        if workspace.catalog.exists(name):
            workspace.catalog.drop_table(name)
        workspace.catalog.create_table(name, data.schema, primary_keys=("key", "at"), timeseries_column="at")
        workspace.catalog.write(name, data, mode="overwrite")


def opened(folder: Path, lane: Lane) -> Workspace:
    """Open the workspace of a job with the frame engine of a lane."""
    spec = ClusterSpec(kind=lane.kind, cpus_per_worker=lane.workers)
    settings = replace(WorkspaceSettings.in_folder("bench", folder), frames=spec)
    return Workspace(settings, context=Context(user="bench"))


def write(job: Join, folder: Path, lane: Lane) -> Past:
    """Join and write a job's training set in a process of its own; return what it took."""
    past: Past = in_a_process(_write, (job, folder, lane))
    return past


def _write(payload: tuple[Join, Path, Lane], _attempt: Attempt) -> Past:
    job, folder, lane = payload
    with opened(folder, lane) as workspace:
        features.write_training_set(workspace, training_set(job), OUT)
        return History(workspace.database).newest(limit=1)[0]


def learnt(job: Join, folder: Path, hardware: Hardware) -> Plan:
    """Join an eighth of other rows, then plan for all."""
    lane = Lane("local", hardware.node.cores)
    with opened(folder, lane) as workspace:
        keep(hardware, state_of(workspace))
        fill(workspace, job, 1 / LEARNT, seed=100)
    write(job, folder, lane)
    with opened(folder, lane) as workspace:
        fill(workspace, job, 1.0, seed=0)
        return plan(workspace, training_set(job)).plan


def run(job: Join, lanes: Sequence[Lane], hardware: Hardware) -> Iterator[Measured]:
    """Plan one job, then do it in every lane."""
    with tempfile.TemporaryDirectory() as name:
        made = learnt(job, folder := Path(name), hardware)
        for lane in lanes:
            predicted = next(one for one in made.candidates if (one.lane, one.workers) == (lane.kind, lane.workers))
            past = write(job, folder, lane)
            yield Measured(job, lane, predicted, predicted == made.choice, past.seconds, past.peak_bytes)


def lanes_of(kinds: Sequence[str], cores: int) -> tuple[Lane, ...]:
    """Return DuckDB on one thread, and every engine on all cores."""
    return (Lane("local", 1), *(Lane(kind, cores) for kind in kinds))


def main() -> None:
    """Run all jobs and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lanes", default=",".join(FRAME_ENGINES.kinds()), help="kinds of engine, by default all")
    parser.add_argument("--quick", action="store_true", help="two jobs: does it run at all")
    given = parser.parse_args()
    facts, hardware = machine(), measure(print)
    lanes = lanes_of(given.lanes.split(","), hardware.node.cores)
    found: list[Measured] = []
    for job in JOBS[:2] if given.quick else JOBS:
        for one in run(job, lanes, hardware):
            found.append(one)
            print(one.told, flush=True)
    report("planner_features", facts, figures(found, lanes))


if __name__ == "__main__":
    main()
