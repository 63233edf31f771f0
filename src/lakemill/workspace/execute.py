"""Run what a task names: a function, or a declaration that its own room knows how to run."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from lakemill.core.errors import ConfigError
from lakemill.workspace.workspace import Workspace


@singledispatch
def execute(target: Any, workspace: Workspace) -> str | None:
    """Run a task's target in a workspace.

    Rooms register their declarations (``@execute.register``); any callable runs as
    ``target(workspace)``.

    Parameters
    ----------
    target
        A function of one argument, or a declaration record.
    workspace
        The workspace, in the context of the task.

    Returns
    -------
    str or None
        One line of summary for a person.

    Raises
    ------
    ConfigError
        If the target is neither.
    """
    if not callable(target):
        raise ConfigError(
            f"a task names a function or a declaration, got {type(target).__name__}",
            hint="write `def step(ws): ...` or `train = lm.ManyTraining(...)` in the module",
        )
    summary = target(workspace)
    return None if summary is None else str(summary)
