"""The process of one task: ``python -m lakemill.projects.task DESCRIPTOR PARENT``."""

from __future__ import annotations

import faulthandler
import os
import resource
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from lakemill.core.errors import LakemillError
from lakemill.core.events import Event
from lakemill.core.records import Context
from lakemill.engines.process import die_with, peak_bytes
from lakemill.projects.protocol import Line, Outcome, TaskSpec, read_spec, write_line
from lakemill.projects.references import bind, resolve
from lakemill.workspace import Workspace, execute


def main() -> None:
    """Run the task that standard input describes and report on the descriptor."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    die_with(parent)
    os.set_inheritable(descriptor, False)
    faulthandler.enable()
    spec = read_spec(sys.stdin.buffer.read())
    say = _speaker(descriptor)
    say(Line(outcome=_run(spec, lambda event: say(Line(event=event)))))


def _speaker(descriptor: int) -> Callable[[Line], None]:
    turn, pipe = threading.Lock(), os.fdopen(descriptor, "wb")

    def say(line: Line) -> None:
        with turn:
            pipe.write(write_line(line))
            pipe.flush()

    return say


def _run(spec: TaskSpec, emit: Callable[[Event], None]) -> Outcome:
    context = Context(user=spec.user, run_id=spec.run_id, task_key=spec.task_key)
    workspace = Workspace(spec.settings, context=context, emit=emit)
    folder = spec.settings.project_dir
    try:
        with workspace:
            target = bind(resolve(spec.reference, folder), spec.parameters, shared=spec.job_parameters)
            ended: dict[str, Any] = {"status": "success", "message": execute(target, workspace) or ""}
    except BaseException as error:  # noqa: BLE001  user code may raise anything, also SystemExit
        ended = {"status": "failed", "error": _told(error), "traceback": _traceback(error, folder)}
    return Outcome(**ended, peak_bytes=max(peak_bytes(), _peak_below()), engines=_engines(workspace))


def _told(error: BaseException) -> str:
    return str(error) if isinstance(error, LakemillError) else f"{type(error).__name__}: {error}"


def _traceback(error: BaseException, folder: str) -> str:
    frames = error.__traceback__
    while frames is not None and not frames.tb_frame.f_code.co_filename.startswith(folder):
        frames = frames.tb_next  # the way to the user's code says nothing
    return "".join(traceback.format_exception(type(error), error, frames or error.__traceback__))


def _peak_below() -> int:
    """Return the largest resident memory of a process that this one started and saw end."""
    unit = 1024 if sys.platform == "linux" else 1
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit


def _engines(workspace: Workspace) -> dict[str, str]:
    opened = vars(workspace)  # cached properties: only what was used is there
    return {role: kind for role, kind in workspace.engines.items() if role in opened}


if __name__ == "__main__":
    main()
