"""Plans against facts: jobs that learn on an eighth of their data, are planned, and are done in every lane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import uuid4

import numpy as np

from benchmarks._run import figure
from lakemill.core.planning import Candidate, Plan
from lakemill.core.records import ClusterSpec, Context
from lakemill.engines.measure import in_a_process
from lakemill.engines.process import Attempt
from lakemill.workspace import Workspace, WorkspaceSettings
from lakemill.workspace.hardware import Hardware, keep
from lakemill.workspace.history import History, Past
from lakemill.workspace.planning import Planned, plan, state_of

LEARNT = 1 / 8
NEAR = 1.1  # lanes whose seconds differ by less are near where the winner flips


@dataclass(frozen=True)
class Lane:
    """An engine and its workers."""

    kind: str
    workers: int

    def spec(self) -> ClusterSpec:
        """Return the cluster of an engine with these workers."""
        if self.kind == "local":
            return ClusterSpec(num_workers=self.workers, cpus_per_worker=self.workers)
        return ClusterSpec(kind=self.kind, cpus_per_worker=self.workers)


class Job(Protocol):
    """A piece of real work."""

    @property
    def role(self) -> Literal["tasks", "frames"]:
        """Which engine does it."""

    @property
    def target(self) -> Any:
        """Its declaration."""

    def fill(self, workspace: Workspace, share: float, *, seed: int) -> None:
        """Write a share of its data; another seed, other data."""

    def carry_out(self, workspace: Workspace) -> None:
        """Do it."""


@dataclass(frozen=True)
class Measured:
    """One job in one lane."""

    job: Job
    lane: Lane
    predicted: Candidate
    chosen: bool
    past: Past

    @property
    def seconds(self) -> float:
        """Wall-clock seconds, engine's start included."""
        return self.past.seconds

    @property
    def error(self) -> float:
        """Share by which the prediction was off."""
        return abs(self.predicted.seconds.value / self.seconds - 1)

    @property
    def inside(self) -> bool:
        """Whether the seconds lie in the interval that was stated."""
        return self.predicted.seconds.low <= self.seconds <= self.predicted.seconds.high

    @property
    def told(self) -> str:
        """One line for a person."""
        bounds, peak = self.predicted.seconds, self.predicted.peak_bytes_per_process.value
        told = f"{self.seconds:.2f} s, predicted {bounds.value:.2f} ({bounds.low:.2f} to {bounds.high:.2f})"
        memory = f"{self.past.peak_bytes / 2**20:.0f} MiB, predicted {peak / 2**20:.0f}"
        mark = " chosen" if self.chosen else ""
        return f"{self.job} {self.lane.kind} {self.lane.workers}: {told}; {memory}{mark}"


class Bench:
    """A workspace in which jobs are learnt and planned, and one in which they are judged, so that no judge teaches.

    Parameters
    ----------
    folder
        Where both are.
    hardware
        What the machine was found to be.
    lanes
        For each role, where its jobs can run.
    """

    def __init__(self, folder: Path, hardware: Hardware, lanes: dict[str, tuple[Lane, ...]]) -> None:
        self.school, self.court = folder / "school", folder / "court"
        self.lanes = lanes
        self.home = Lane("local", hardware.node.cores)
        for each in (self.school, self.court):
            with opened(each, self.home, "tasks") as workspace:
                keep(hardware, state_of(workspace))

    def teach(self, job: Job) -> None:
        """Do a job that is not judged in every lane: what is predicted of it has its errors to learn from."""
        self._fill(job, 1.0, seed=0, folder=self.school)
        for lane in (self.home, *self.lanes[job.role]):
            self._done(job, lane, folder=self.school)

    def probed(self, job: Job) -> Planned:
        """Plan a job that never ran from pieces that are tried."""
        self._fill(job, 1.0, seed=1, folder=self.court)
        made: Planned = in_a_process(_probe, (job, self.court, self.home))
        return made

    def planned(self, job: Job) -> Plan:
        """Do an eighth of other data, then plan the whole."""
        self._fill(job, LEARNT, seed=2, folder=self.school)
        self._done(job, self.home, folder=self.school)
        self._fill(job, 1.0, seed=1, folder=self.school)
        with opened(self.school, self.home, job.role) as workspace:
            return plan(workspace, job.target).plan

    def judged(self, job: Job) -> Iterator[Measured]:
        """Plan a job, and do it in every lane."""
        made = self.planned(job)
        self._fill(job, 1.0, seed=1, folder=self.court)
        for lane in self.lanes[job.role]:
            predicted = next(one for one in made.candidates if (one.lane, one.workers) == (lane.kind, lane.workers))
            yield Measured(job, lane, predicted, predicted == made.choice, self._done(job, lane, folder=self.court))

    def _done(self, job: Job, lane: Lane, *, folder: Path) -> Past:
        """Do a job in a process of its own; return what it took."""
        past: Past = in_a_process(_carry_out, (job, folder, lane))
        return past

    def _fill(self, job: Job, share: float, *, seed: int, folder: Path) -> None:
        with opened(folder, self.home, job.role) as workspace:
            job.fill(workspace, share, seed=seed)


def opened(folder: Path, lane: Lane, role: str) -> Workspace:
    """Open the workspace with the engine of a lane."""
    settings = WorkspaceSettings.in_folder("bench", folder)
    tasks, frames = (lane.spec() if role == each else ClusterSpec() for each in ("tasks", "frames"))
    return Workspace(replace(settings, tasks=tasks, frames=frames), context=Context(user="bench", run_id=uuid4().hex))


def _carry_out(payload: tuple[Job, Path, Lane], _attempt: Attempt) -> Past:
    job, folder, lane = payload
    with opened(folder, lane, job.role) as workspace:
        job.carry_out(workspace)
        return History(workspace.database).newest(limit=1)[0]


def _probe(payload: tuple[Job, Path, Lane], _attempt: Attempt) -> Planned:
    job, folder, lane = payload
    with opened(folder, lane, job.role) as workspace:
        return plan(workspace, job.target, probe=True)


def figures(found: Sequence[Measured], bench: Bench) -> Iterator[dict[str, Any]]:
    """Return how right the choices and the predictions were."""
    chosen = [one for one in found if one.chosen]
    best = {job: sorted(one.seconds for one in found if one.job == job) for job in {one.job for one in found}}
    jobs, lanes = len(best), dict.fromkeys(lane for each in bench.lanes.values() for lane in each)
    taken = sum(one.seconds for one in chosen)
    oracle = taken / sum(seconds[0] for seconds in best.values())
    yield figure("chosen lanes to the best lane of each job", oracle, "ratio", goal=1.05, n=jobs)
    for lane in lanes:
        yield _fixed(found, lane)
    flips = sum(seconds[1] <= NEAR * seconds[0] for seconds in best.values())
    yield figure("jobs whose two best lanes are within a tenth", flips, "jobs", goal=10, better="higher", n=jobs)
    yield from _errors(chosen, "")
    yield from _errors(found, ", all lanes")


def _fixed(found: Sequence[Measured], lane: Lane) -> dict[str, Any]:
    """Compare the chosen lanes with always one, over the jobs that it can do."""
    always = {one.job: one.seconds for one in found if one.lane == lane}
    ratio = sum(one.seconds for one in found if one.chosen and one.job in always) / sum(always.values())
    return figure(f"chosen lanes to always {lane.kind} with {lane.workers}", ratio, "ratio", goal=1.0, n=len(always))


def _errors(found: Sequence[Measured], which: str) -> Iterator[dict[str, Any]]:
    spans = [one.predicted.seconds for one in found]
    widths = [(span.high - span.low) / span.value for span in spans]
    peaks = [abs(one.predicted.peak_bytes_per_process.value / one.past.peak_bytes - 1) for one in found]
    shares = {
        "median error of predicted seconds": (np.median([one.error for one in found]), 0.15),
        "median width of the 90 % interval": (np.median(widths), 0.5),
        "median error of predicted peak of a process": (np.median(peaks), 0.15),
    }
    for name, (value, goal) in shares.items():
        yield figure(name + which, float(value), "share", goal=goal, n=len(found))
    inside = float(np.mean([one.inside for one in found]))
    name = f"measured seconds inside the 90 % interval{which}"
    yield figure(name, inside, "share", goal=0.85, better="higher", n=len(found))
