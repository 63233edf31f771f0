"""One training under way: its identity, its folder, its tables."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lakemill.core.errors import TaskError
from lakemill.training.many.again import BASE, Subset
from lakemill.training.many.definition import ManyTraining
from lakemill.training.many.groups import Phase
from lakemill.training.many.identity import identity, tables_of
from lakemill.training.many.outputs import FAILURES
from lakemill.training.many.packs import PACKS, Packs, Part, write_packs
from lakemill.training.many.run import PhaseSummary, run_phase
from lakemill.training.many.staging import Staging
from lakemill.workspace import Workspace

PREPARE: Final = "prepare"
REGISTER: Final = "register"
START: Final = "start"
DRIVER_STAGES: Final = (PREPARE, REGISTER)  # the workers share all others but the start


class Session:
    """A training under way in a workspace.

    Two sessions of the same definition over the same table versions in the same job run are one
    training: the second goes on where the first was killed.

    Parameters
    ----------
    workspace
        Where the tables and engines are.
    definition
        What is trained.
    subset
        Which groups only; the others are carried over from its base.

    Attributes
    ----------
    stages
        Wall-clock seconds of this process by stage.
    other_seconds
        Of workers, for what is not a group's.
    """

    def __init__(self, workspace: Workspace, definition: ManyTraining, *, subset: Subset | None = None) -> None:
        self.workspace = workspace
        self.definition = definition
        self.subset = subset
        self.refs = tables_of(workspace, definition)
        self.id = subset.training if subset else identity(workspace, definition)
        self.staging = Staging(Path(workspace.folder("staging", self.id)))
        self.begun_before = self.staging.noted(PACKS) is not None
        self.packs = Packs(numbers=(), groups=0)
        self.summaries: list[PhaseSummary] = []
        self.stages: dict[str, float] = {}
        self.other_seconds = 0.0

    @property
    def metrics(self) -> dict[str, float]:
        """Seconds inside the function, summed over groups and phases, and the largest child process of this run."""
        return {
            "fit_seconds": sum(summary.fit_seconds for summary in self.summaries),
            "fit_peak_bytes": max(summary.peak_bytes for summary in self.summaries),
        }

    @property
    def tags(self) -> dict[str, str]:
        """Tags of a version that came of training some groups again."""
        return {} if self.subset is None else {BASE: str(self.subset.base.version)}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Take the time of a stage."""
        started = time.perf_counter()
        yield
        self.stages[name] = self.stages.get(name, 0.0) + time.perf_counter() - started

    def table(self, output: str) -> str:
        """Return the name of the table of an output."""
        return f"{self.definition.registered_model}_{output}"

    def prepare(self, parts: Mapping[str, Part], *, cost: str) -> Packs:
        """Cut the input into packs; return them."""
        with self.stage(PREPARE):
            self.packs = write_packs(
                self.workspace.frames,
                self.staging,
                parts=parts if self.subset is None else self.subset.kept(parts),
                by=self.definition.keys,
                cost=cost,
                slots=self.workspace.tasks.slots(self.definition.resources),
            )
        return self.packs

    def run(self, phase: Phase) -> PhaseSummary:
        """Run a phase over all packs and commit what comes of it."""
        tables = {output: self.table(output) for output in (*phase.outputs, FAILURES)}
        with self.stage(phase.name):
            summary = run_phase(
                self.workspace,
                phase,
                staging=self.staging,
                packs=self.packs,
                tables=tables,
                training=self.id,
                each=self.definition.resources,
                item_seconds=self.definition.item_seconds,
            )
        if summary.failed and summary.failed == self.packs.groups:
            raise TaskError(
                f"all {summary.failed:,} groups failed in phase {phase.name}; the last one: {summary.last_failure}",
                hint=f"tracebacks stand in table {self.table(FAILURES)}",
            )
        if self.subset is not None:
            self.subset.carry_over(tables.values())
        self.summaries.append(summary)
        return summary
