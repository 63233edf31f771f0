"""From a target to the workspace and engines that it names."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from lakemill.core.errors import ConfigError, nearest
from lakemill.core.planning import Cluster
from lakemill.core.records import AUTO, ClusterSpec
from lakemill.engines.frames import FRAME_ENGINES
from lakemill.engines.tasks import TASK_ENGINES
from lakemill.projects.project import Project, Target
from lakemill.workspace.settings import WorkspaceSettings


def workspace_settings(
    name: str, folder: Path, target: Target, *, clusters: tuple[Cluster, ...] = ()
) -> WorkspaceSettings:
    """Return where the parts of the workspace live; what the target leaves out is in ``.lakemill/``."""
    default = WorkspaceSettings.in_folder(name, folder)
    storage = target.workspace
    root = _location(storage.root, folder) or default.root
    local = Path(default.root if "://" in root else root)  # databases want a local disk
    return WorkspaceSettings(
        name=name,
        project_dir=default.project_dir,
        root=root,
        metadata=_database(storage.metadata, folder) or f"sqlite:///{local / 'metadata.db'}",
        tracking=_database(storage.tracking, folder) or f"sqlite:///{local / 'mlflow.db'}",
        artifacts=_location(storage.artifacts, folder) or f"{root}/mlartifacts",
        frames=target.compute.frames.spec(),
        tasks=target.compute.tasks.spec(),
        clusters=clusters,
    )


def with_engine(project: Project, kind: str) -> Project:
    """Return the project with one kind of engine wherever that kind exists: frames, tasks or both.

    The kind ``auto`` leaves tasks to the planner.

    Raises
    ------
    ConfigError
        If no engine is of that kind.
    """
    settings = project.settings
    if kind not in (kinds := {*FRAME_ENGINES.kinds(), *TASK_ENGINES.kinds(), AUTO}):
        raise ConfigError(f"no engine is of kind {kind!r}", hint=nearest(kind, kinds))
    if kind in FRAME_ENGINES.kinds():
        settings = dataclasses.replace(settings, frames=ClusterSpec(kind=kind))
    if kind in {*TASK_ENGINES.kinds(), AUTO}:
        settings = dataclasses.replace(settings, tasks=ClusterSpec(kind=kind))
    return dataclasses.replace(project, settings=settings)


def check_engines(settings: WorkspaceSettings) -> None:
    """Look whether the packages of the engines are there, before anything is done.

    Raises
    ------
    MissingExtraError
        If one is not installed.
    """
    FRAME_ENGINES.load(settings.frames.kind)
    if settings.tasks.kind != AUTO:
        TASK_ENGINES.load(settings.tasks.kind)


def state_folder(settings: WorkspaceSettings) -> Path:
    """Return the folder of what must be on a local disk: locks, logs, the state of jobs."""
    return Path(settings.project_dir, ".lakemill") if "://" in settings.root else Path(settings.root)


def _location(text: str | None, folder: Path) -> str:
    if text is None or "://" in text:
        return text or ""
    return str((folder / Path(text).expanduser()).resolve())


def _database(url: str | None, folder: Path) -> str:
    if url is None:
        return ""
    path = url.removeprefix("sqlite:///")
    if path == url or path.startswith("/"):
        return url
    return f"sqlite:///{(folder / path).resolve()}"
