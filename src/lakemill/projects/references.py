"""From ``module:attribute`` in a project's folder to the thing that it names."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from lakemill.core.errors import ConfigError, nearest
from lakemill.projects.load import read_document
from lakemill.projects.project import Project


def resolve(reference: str, folder: str) -> Any:
    """Import what a reference names.

    Raises
    ------
    ConfigError
        If there is no such module in the folder or on the path, or no such attribute in it. What
        the module itself raises on import comes through.
    """
    module_name, _, attribute = reference.partition(":")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, one that it imports is not
        raise ConfigError(f"{reference}: no module {error.name!r} in {folder}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            known = [name for name in dir(found) if not name.startswith("_")]
            raise ConfigError(f"{reference}: nothing is called {part!r} there", hint=nearest(part, known))
        found = getattr(found, part)
    return found


def bind(target: Any, own: Mapping[str, Any], *, shared: Mapping[str, Any]) -> Any:
    """Give a function its keyword arguments; a declaration passes unchanged.

    Parameters
    ----------
    target
        A function of the workspace and further arguments, or a declaration.
    own
        Arguments that the function must take.
    shared
        Arguments that it receives if it names them; those of `own` come first.

    Raises
    ------
    ConfigError
        If it does not take one of `own`.
    """
    takes = _taken(target) if callable(target) else ()
    for name in own:
        if name not in takes:
            raise ConfigError(f"{_name(target)} takes no parameter {name!r}", hint=nearest(name, takes))
    arguments = {name: value for name, value in {**shared, **own}.items() if name in takes}
    return partial(target, **arguments) if arguments else target


def check_references(project: Project) -> None:
    """Import, in a fresh process, what the tasks of a project name.

    Raises
    ------
    ConfigError
        With every fault and its place.
    """
    document = read_document(Path(project.path))
    places = {
        ("resources", "jobs", key, "tasks", index, "python"): task.python
        for key, job in project.jobs.items()
        for index, task in enumerate(job.tasks)
    }
    faults = _ask(sorted(set(places.values())), project.settings.project_dir)
    told = [f"{document.place(where)}: {faults[name]}" for where, name in places.items() if name in faults]
    if told:
        raise ConfigError("\n".join(told))


def main() -> None:
    """Say what is wrong with references that cannot be imported, in a process made for it."""
    asked = json.load(sys.stdin)
    faults = {reference: fault for reference in asked["references"] if (fault := _fault(reference, asked["folder"]))}
    sys.stdout.write(f"\n{json.dumps(faults)}\n")


def _ask(references: list[str], folder: str) -> dict[str, str]:
    child = subprocess.run(
        [sys.executable, "-P", "-c", f"from {__name__} import main; main()"],
        input=json.dumps({"folder": folder, "references": references}),
        capture_output=True,
        cwd=folder,
        text=True,
        check=False,
    )
    if child.returncode:
        raise ConfigError(f"importing the modules of the project ended the process: {child.stderr[-2000:].strip()}")
    faults: dict[str, str] = json.loads(child.stdout.splitlines()[-1])
    return faults


def _fault(reference: str, folder: str) -> str:
    try:
        resolve(reference, folder)
    except ConfigError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  a user's module may raise anything
        return f"{reference}: importing it raised {type(error).__name__}: {error}"
    return ""


def _taken(target: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(target).parameters)[1:]


def _name(target: Any) -> str:
    return f"{getattr(target, '__name__', type(target).__name__)}()" if callable(target) else type(target).__name__
