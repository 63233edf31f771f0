"""One training under way: its identity, its folder, its tables."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lakemill import features
from lakemill.core.errors import TaskError
from lakemill.core.records import TableRef, content_hash
from lakemill.training.many.definition import ManyTraining
from lakemill.training.many.groups import Phase
from lakemill.training.many.outputs import FAILURES
from lakemill.training.many.packs import Packs, Part, write_packs
from lakemill.training.many.run import PhaseSummary, run_phase
from lakemill.training.many.staging import Staging
from lakemill.workspace import Workspace


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
    """

    def __init__(self, workspace: Workspace, definition: ManyTraining) -> None:
        self.workspace = workspace
        self.definition = definition
        self.refs = features.table_refs(workspace, definition.training_set)
        self.id = identity(definition, self.refs, workspace.context.run_id)
        self.staging = Staging(Path(workspace.folder("staging", self.id)))
        self.packs = Packs(numbers=(), groups=0)

    def table(self, output: str) -> str:
        """Return the name of the table of an output."""
        return f"{self.definition.registered_model}_{output}"

    def prepare(self, parts: Mapping[str, Part], *, cost: str) -> Packs:
        """Cut the input into packs; return them."""
        self.packs = write_packs(
            self.workspace.frames,
            self.staging,
            parts=parts,
            by=self.definition.keys,
            cost=cost,
            slots=self.workspace.tasks.slots(self.definition.resources),
        )
        return self.packs

    def run(self, phase: Phase) -> PhaseSummary:
        """Run a phase over all packs and commit what comes of it."""
        summary = run_phase(
            self.workspace,
            phase,
            staging=self.staging,
            packs=self.packs,
            tables={output: self.table(output) for output in (*phase.outputs, FAILURES)},
            training=self.id,
            each=self.definition.resources,
            item_seconds=self.definition.item_seconds,
        )
        if summary.failed and summary.failed == self.packs.groups:
            raise TaskError(
                f"all {summary.failed:,} groups failed in phase {phase.name}; the last one: {summary.last_failure}",
                hint=f"tracebacks stand in table {self.table(FAILURES)}",
            )
        return summary


def identity(definition: ManyTraining, refs: tuple[TableRef, ...], run_id: str) -> str:
    """Return 16 hex digits that name a training: definition, code, data and job run."""
    versions = [(ref.name, ref.version) for ref in refs]
    return content_hash([version("lakemill"), definition, source_of(definition.fit), versions, run_id])


def source_of(fit: Any) -> str:
    """Return the source of a fit function, so that an edit makes another training."""
    if not callable(fit):
        return ""
    try:
        return inspect.getsource(fit)
    except (OSError, TypeError):  # typed at a prompt
        return repr(getattr(fit, "__code__", fit))
