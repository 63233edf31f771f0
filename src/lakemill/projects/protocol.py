"""What a runner and the process of a task tell each other: one JSON object a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from lakemill.core.events import Event
from lakemill.core.records import record, to_json
from lakemill.workspace.settings import WorkspaceSettings


@record
class TaskSpec:
    """One attempt at a task, as its process is told of it.

    Parameters
    ----------
    settings
        The workspace.
    user, run_id, task_key
        The context of the work.
    reference
        ``module:attribute`` of the function or declaration.
    parameters
        Keyword arguments of the task itself; the function must take each.
    job_parameters
        Keyword arguments of the job; the function receives those that it names.
    """

    settings: WorkspaceSettings
    user: str
    run_id: str
    task_key: str
    reference: str
    parameters: Mapping[str, Any]
    job_parameters: Mapping[str, Any]


@record
class Outcome:
    """How one attempt at a task ended.

    Parameters
    ----------
    status
        What came of it.
    message
        The line that the function returned.
    error
        What went wrong, in a sentence or two.
    traceback
        Where it went wrong, in the user's code.
    peak_bytes
        Largest resident memory of the process, or of one that it started; 0 when unknown.
    engines
        Kinds of the engines that were used, by role.
    """

    status: Literal["success", "failed", "timed_out"]
    message: str = ""
    error: str = ""
    traceback: str = ""
    peak_bytes: int = 0
    engines: Mapping[str, str]


@record
class Line:
    """One line from the process: progress, or the end."""

    event: Event | None = None
    outcome: Outcome | None = None


_SPEC: Final = TypeAdapter(TaskSpec)
_LINE: Final = TypeAdapter(Line)


def write_spec(spec: TaskSpec) -> bytes:
    """Write what a process is told on its standard input."""
    return to_json(spec).encode()


def read_spec(text: bytes) -> TaskSpec:
    """Undo `write_spec`."""
    return _SPEC.validate_json(text)


def write_line(line: Line) -> bytes:
    r"""Write one line.

    Examples
    --------
    >>> read_line(write_line(Line(event=Event(kind="note", text="a\nb")))).event.text
    'a\nb'
    """
    return to_json(line).encode() + b"\n"


def read_line(text: bytes) -> Line:
    """Undo `write_line`."""
    return _LINE.validate_json(text)
