"""From a file in a folder to a project: find, read, fill in, validate, lint."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from lakemill.core.config import Document, validate
from lakemill.core.errors import ConfigError, NotFoundError, nearest
from lakemill.core.events import Emit, silent
from lakemill.core.records import Context
from lakemill.projects.clusters import clusters_of
from lakemill.projects.interpolate import UNSET, interpolate
from lakemill.projects.lint import lint
from lakemill.projects.project import Bundle, Job, Key, Project, ProjectFile, Scalar, Target, Variable
from lakemill.projects.targets import workspace_settings
from lakemill.workspace import Workspace

FILE_NAME: Final = "lakemill.yml"
_TRUE_FALSE: Final = {"true": True, "false": False}
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


def load_project(
    path: Path | str | None = None, *, target: str | None = None, variables: Mapping[str, str] = _NOTHING
) -> Project:
    """Read a project file and resolve it for one target.

    Parameters
    ----------
    path
        The file, or a folder; None looks for ``lakemill.yml`` here and in the folders above.
    target
        The target's key; None takes the default one.
    variables
        Values of variables as text, over those of the target.

    Raises
    ------
    NotFoundError
        If there is no such file, target or variable.
    ConfigError
        If the file is wrong, with the place of each fault.
    """
    file = _find(path)
    document = read_document(file)
    head = validate(document.data, _Head, document)
    key = _choose_target(head, target)
    filled = interpolate(document.data, _values(head, key, given=variables), document=document)
    whole = validate(filled, ProjectFile, document)
    lint(whole, document)
    chosen = whole.targets.get(key, Target())
    clusters = clusters_of(whole.resources.clusters, whole.node_types)
    return Project(
        name=whole.bundle.name,
        target=key,
        mode=chosen.mode,
        path=str(file),
        settings=workspace_settings(whole.bundle.name, file.parent, chosen, clusters=clusters),
        jobs=whole.resources.jobs,
    )


def open_workspace(
    path: Path | str | None = None,
    *,
    target: str | None = None,
    variables: Mapping[str, str] = _NOTHING,
    emit: Emit = silent,
) -> Workspace:
    """Open the workspace of a project: its tables, models and engines.

    Parameters and errors as in `load_project`; `emit` receives progress. Close it, or use it as a
    context manager, to stop the engines that it started.
    """
    project = load_project(path, target=target, variables=variables)
    return Workspace(project.settings, context=Context(user=current_user()), emit=emit)


def read_document(file: Path) -> Document:
    """Read a project file with all that it includes, as written.

    Raises
    ------
    NotFoundError
        If there is no such file.
    ConfigError
        If it is not YAML, or includes what is not there.
    """
    document = Document.read(file)
    for index, pattern in enumerate(validate(document.data, _Include, document).include):
        found = sorted(other for other in file.parent.glob(pattern) if other != file)
        if not found:
            raise ConfigError(f"{document.place(('include', index))}: no file matches {pattern!r}")
        for other in found:
            document.include(Document.read(other))
    return document


def find_job(project: Project, key: str) -> Job:
    """Return a job of the project.

    Raises
    ------
    NotFoundError
        If there is none of that key.
    """
    if key not in project.jobs:
        raise NotFoundError(f"no job {key!r} in {project.path}", hint=nearest(key, project.jobs))
    return project.jobs[key]


def current_user() -> str:
    """Return the name of the user who acts, or the number where the system knows no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without an entry for this user
        return str(os.getuid())


def parse_value(text: str, example: Any, *, name: str) -> Any:
    """Read a value that came as text, with the type of an example.

    Raises
    ------
    ConfigError
        If the text is not of that type.

    Examples
    --------
    >>> parse_value("28", 14, name="horizon"), parse_value("true", False, name="fast")
    (28, True)
    """
    try:
        return _TRUE_FALSE[text.lower()] if isinstance(example, bool) else type(example)(text)
    except (KeyError, ValueError) as error:
        expected = _TYPE_NAMES[type(example)]
        raise ConfigError(f"{name}: expected {expected}, got {text!r}") from error


class _Part(BaseModel):
    """What must be known before references can be filled in; the rest is read afterwards."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class _Include(_Part):
    include: tuple[str, ...] = ()


class _TargetHead(_Part):
    default: bool = False
    variables: dict[Key, Scalar] = Field(default={})


class _JobHead(_Part):
    name: str = ""


class _ResourceHead(_Part):
    jobs: dict[Key, _JobHead] = Field(default={})


class _Head(_Part):
    bundle: Bundle
    variables: dict[Key, Variable] = Field(default={})
    targets: dict[Key, _TargetHead] = Field(default={})
    resources: _ResourceHead = _ResourceHead()


_EXAMPLES: Final[Mapping[str, Any]] = {"string": "", "integer": 0, "number": 0.0, "boolean": False}
_TYPE_NAMES: Final = {type(example): name for name, example in _EXAMPLES.items()}


def _find(path: Path | str | None) -> Path:
    start = Path.cwd() if path is None else Path(path).absolute()
    if path is not None:
        return start / FILE_NAME if start.is_dir() else start
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise NotFoundError(f"no {FILE_NAME} in {start} or above", hint="`lakemill init DIR` writes a project")


def _choose_target(head: _Head, target: str | None) -> str:
    if target is not None:
        if target not in (head.targets or {"dev"}):
            raise NotFoundError(f"no target {target!r}", hint=nearest(target, head.targets or {"dev"}))
        return target
    if not head.targets:
        return "dev"
    defaults = [key for key, part in head.targets.items() if part.default]
    if not defaults and len(head.targets) > 1:
        raise ConfigError(
            f"no target is the default one of {', '.join(head.targets)}",
            hint="name one (`--target`), or write `default: true` in one",
        )
    return (defaults or list(head.targets))[0]


def _values(head: _Head, target: str, *, given: Mapping[str, str]) -> dict[str, Any]:
    overrides = head.targets[target].variables if target in head.targets else {}
    for name in given:
        if name not in head.variables:
            raise NotFoundError(f"no variable {name!r}", hint=nearest(name, head.variables))
    return {
        "bundle.name": head.bundle.name,
        "bundle.target": target,
        **{
            f"var.{name}": _value(name, variable, overrides=overrides, given=given)
            for name, variable in head.variables.items()
        },
        **{f"resources.jobs.{key}.name": job.name or key for key, job in head.resources.jobs.items()},
    }


def _value(name: str, variable: Variable, *, overrides: Mapping[str, Any], given: Mapping[str, str]) -> Any:
    default = UNSET if variable.default is None else variable.default
    if name not in given:
        return overrides.get(name, default)
    example = _EXAMPLES[variable.type] if variable.type else ("" if default is UNSET else default)
    return parse_value(given[name], example, name=f"variable {name!r}")
