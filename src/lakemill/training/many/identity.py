"""What makes two trainings the same: the second goes on where the first was killed."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from lakemill import features
from lakemill.core.records import TableRef, content_hash
from lakemill.training.many.content import content_of
from lakemill.training.many.definition import ManyTraining
from lakemill.workspace import Workspace


def identity(workspace: Workspace, definition: ManyTraining, *, groups: object = None) -> str:
    """Return 16 hex digits that name a training: definition, code, data, job run and groups.

    Parameters
    ----------
    workspace
        Where the tables are, and in which run.
    definition
        What is trained.
    groups
        What names the groups, where it is not all of them.
    """
    versions = [(ref.name, ref.version) for ref in tables_of(workspace, definition)]
    code = content_of(definition.fit, Path(workspace.settings.project_dir)) if callable(definition.fit) else []
    return content_hash([version("lakemill"), definition, code, versions, workspace.context.run_id, groups])


def tables_of(workspace: Workspace, definition: ManyTraining) -> tuple[TableRef, ...]:
    """Return the tables that a training reads, at their versions now: the spine first, the fit's own last."""
    own = () if callable(definition.fit) else definition.fit.tables
    return (
        *features.table_refs(workspace, definition.training_set),
        *(workspace.catalog.ref(name) for name in own),
    )
