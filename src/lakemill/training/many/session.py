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
from lakemill.training.many.again import BASE, Again, Subset
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
    again
        Which groups only; the others are carried over from the version it names.
    """

    def __init__(self, workspace: Workspace, definition: ManyTraining, *, again: Again | None = None) -> None:
        self.workspace = workspace
        self.definition = definition
        self.again = again
        self.subset = Subset(workspace, definition, again) if again else None
        self.refs = features.table_refs(workspace, definition.training_set)
        self.id = identity(definition, self.refs, workspace.context.run_id, again=again)
        self.staging = Staging(Path(workspace.folder("staging", self.id)))
        self.packs = Packs(numbers=(), groups=0)

    @property
    def tags(self) -> dict[str, str]:
        """Tags of a version that came of training some groups again."""
        return {} if self.again is None else {BASE: str(self.again.base.version)}

    def table(self, output: str) -> str:
        """Return the name of the table of an output."""
        return f"{self.definition.registered_model}_{output}"

    def prepare(self, parts: Mapping[str, Part], *, cost: str) -> Packs:
        """Cut the input into packs; return them."""
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
            self.subset.carry_over(tables.values(), training=self.id)
        return summary


def identity(definition: ManyTraining, refs: tuple[TableRef, ...], run_id: str, *, again: Again | None = None) -> str:
    """Return 16 hex digits that name a training: definition, code, data, job run and groups."""
    versions = [(ref.name, ref.version) for ref in refs]
    groups = again.identity if again else None
    return content_hash([version("lakemill"), definition, source_of(definition.fit), versions, run_id, groups])


def source_of(fit: Any) -> str:
    """Return the source of a fit function, so that an edit makes another training."""
    if not callable(fit):
        return ""
    try:
        return inspect.getsource(fit)
    except (OSError, TypeError):  # typed at a prompt
        return repr(getattr(fit, "__code__", fit))
