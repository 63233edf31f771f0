"""What makes two trainings the same: the second goes on where the first was killed."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

from lakemill import features
from lakemill.core.records import content_hash
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
    versions = [(ref.name, ref.version) for ref in features.table_refs(workspace, definition.training_set)]
    run_id = workspace.context.run_id
    return content_hash([version("lakemill"), definition, source_of(definition.fit), versions, run_id, groups])


def source_of(fit: Any) -> str:
    """Return the source of a fit function, so that an edit makes another training."""
    if not callable(fit):
        return ""
    try:
        return inspect.getsource(fit)
    except (OSError, TypeError):  # typed at a prompt
        return repr(getattr(fit, "__code__", fit))
