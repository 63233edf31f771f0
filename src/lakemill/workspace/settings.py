"""Where the parts of a workspace live."""

from __future__ import annotations

from pathlib import Path

from lakemill.core.planning import Cluster
from lakemill.core.records import AUTO, ClusterSpec, record


@record
class WorkspaceSettings:
    """Where tables, metadata, models and work live.

    Parameters
    ----------
    name
        Name of the project, also of its MLflow experiment.
    project_dir
        Folder of the project file; user modules are imported from it.
    root
        Folder or URI below which tables, staging and reports live.
    metadata
        SQLAlchemy URL of the metadata database.
    tracking
        MLflow tracking URI.
    artifacts
        Folder or URI of MLflow artifacts.
    frames, tasks
        Engines of tables and of independent tasks; tasks of kind ``auto`` run where the plan of their work says.
    clusters
        Declared ones, which plans weigh beside this machine.
    """

    name: str
    project_dir: str
    root: str
    metadata: str
    tracking: str
    artifacts: str
    frames: ClusterSpec = ClusterSpec()
    tasks: ClusterSpec = ClusterSpec(kind=AUTO)
    clusters: tuple[Cluster, ...] = ()

    @classmethod
    def in_folder(cls, name: str, project_dir: Path) -> WorkspaceSettings:
        """Return the default: everything in ``.lakemill/`` beside the project file, no server."""
        root = project_dir.resolve() / ".lakemill"
        return cls(
            name=name,
            project_dir=str(project_dir.resolve()),
            root=str(root),
            metadata=f"sqlite:///{root / 'metadata.db'}",
            tracking=f"sqlite:///{root / 'mlflow.db'}",
            artifacts=str(root / "mlartifacts"),
        )
