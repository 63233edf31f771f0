"""Begin a project from a template."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from lakemill.core.errors import AlreadyExistsError, NotFoundError, StorageError, nearest
from lakemill.projects.load import FILE_NAME

TEMPLATES: Final = Path(__file__).parent / "templates"
_LEFT_OUT: Final = shutil.ignore_patterns("__pycache__", ".lakemill", "*.pyc")


def templates() -> tuple[str, ...]:
    """Return the names of the templates."""
    return tuple(sorted(folder.name for folder in TEMPLATES.iterdir() if (folder / FILE_NAME).is_file()))


def init_project(directory: Path | str, template: str = "demand") -> Path:
    """Copy a template into a folder, which is made if need be, and return its project file.

    Raises
    ------
    NotFoundError
        If there is no such template.
    AlreadyExistsError
        If a file of the template is there already; nothing is written then.
    StorageError
        If the folder cannot be written.
    """
    if template not in templates():
        raise NotFoundError(f"no template {template!r}", hint=nearest(template, templates()))
    source, target = TEMPLATES / template, Path(directory)
    there = [file for file in _files(source) if (target / file).exists()]
    if there:
        raise AlreadyExistsError(
            f"{target / there[0]} is there already", hint="name another folder: nothing was written into this one"
        )
    try:
        shutil.copytree(source, target, ignore=_LEFT_OUT, dirs_exist_ok=True)
    except (OSError, shutil.Error) as error:
        raise StorageError(
            f"cannot write the project into {target}: {error}",
            hint="name a folder that this user may write, on a disk with room",
        ) from error
    return target / FILE_NAME


def _files(folder: Path) -> list[Path]:
    return [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
