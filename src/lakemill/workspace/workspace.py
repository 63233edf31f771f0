"""The one live object that holds the others."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lakemill.core.events import Emit, silent
from lakemill.core.records import AUTO, ClusterSpec, Context
from lakemill.engines.frames import FRAME_ENGINES, Frame, FrameEngine
from lakemill.engines.gangs import GANG_ENGINES, GangEngine
from lakemill.engines.tasks import TASK_ENGINES, TaskEngine
from lakemill.workspace.settings import WorkspaceSettings
from lakemill.workspace.table import Table

if TYPE_CHECKING:
    from lakemill.catalog import Catalog
    from lakemill.metadata import Database
    from lakemill.registry import Registry


class Workspace:
    """Tables, models, engines and context, each imported and opened on first use.

    Parameters
    ----------
    settings
        Where the parts live.
    context
        Who acts, and in which run.
    emit
        Receives progress.

    Attributes
    ----------
    placed
        Where tasks run: as the settings say, or, where they leave it to the planner, in this machine's processes
        until `place` says otherwise.
    engines
        Kinds of the engines by role.
    """

    def __init__(self, settings: WorkspaceSettings, *, context: Context, emit: Emit = silent) -> None:
        self.settings = settings
        self.context = context
        self.emit = emit
        self.placed = ClusterSpec() if settings.tasks.kind == AUTO else settings.tasks
        self.engines = {"frames": settings.frames.kind, "tasks": self.placed.kind}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Return the workspace."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what was opened."""
        self.close()

    def __repr__(self) -> str:
        """Show the name and the root."""
        return f"Workspace({self.settings.name!r}, root={self.settings.root!r})"

    @cached_property
    def database(self) -> Database:
        """The metadata database."""
        from lakemill.metadata import Database

        database = Database(self.settings.metadata)
        self._open.callback(database.close)
        return database

    @cached_property
    def catalog(self) -> Catalog:
        """Names of tables, their commits and lineage."""
        from lakemill.catalog import Catalog

        return Catalog(root=f"{self.settings.root}/tables", database=self.database, context=self.context)

    @cached_property
    def frames(self) -> FrameEngine:
        """The engine of tables."""
        engine = FRAME_ENGINES.build({"kind": self.settings.frames.kind, "spec": self.settings.frames})
        self._open.callback(engine.close)
        return engine

    @cached_property
    def tasks(self) -> TaskEngine:
        """The engine of independent tasks."""
        engine = TASK_ENGINES.build({"kind": self.placed.kind, "spec": self.placed})
        self._open.callback(engine.close)
        return engine

    @cached_property
    def gangs(self) -> GangEngine:
        """The engine of ranks that start and fail together."""
        return GANG_ENGINES.build({"kind": "local"})

    @cached_property
    def models(self) -> Registry:
        """Runs, registered models, aliases and gates."""
        from lakemill.registry import Registry

        settings = self.settings
        return Registry(
            tracking_uri=settings.tracking,
            artifacts=settings.artifacts,
            experiment=settings.name,
            context=self.context,
            project_dir=settings.project_dir,
            engines=self.engines,
        )

    def table(self, name: str) -> Table:
        """Return a table by its three-level name; it need not exist yet."""
        return Table(name, catalog=self.catalog, frames=lambda: self.frames)

    def sql(self, query: str, **frames: Frame | str) -> Frame:
        """Run a SELECT over tables and frames in the SQL of the frame engine.

        Parameters
        ----------
        query
            A SELECT; the portable subset runs alike on DuckDB and Spark.
        frames
            What each name in the query stands for: a table name as text, an engine's frame, or
            Arrow data.

        Examples
        --------
        ``ws.sql("select product, sum(quantity) q from s group by product", s="main.retail.sales")``
        """
        return self.frames.sql(query, {name: self._frame(value) for name, value in frames.items()})

    def place(self, spec: ClusterSpec) -> None:
        """Let tasks run on another cluster from now on; the one before stops with the workspace, or when idle."""
        if spec != self.placed:
            self.placed = spec
            self.engines["tasks"] = spec.kind
            vars(self).pop("tasks", None)

    def folder(self, *parts: str) -> Path:
        """Return a folder below the workspace's root, made if need be."""
        path = Path(self.settings.root, *parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def close(self) -> None:
        """Stop the engines that were started and close the databases."""
        self._open.close()

    def _frame(self, value: Frame | str) -> Frame:
        if isinstance(value, str):
            return self.table(value).scan()
        return value if self.frames.is_frame(value) else self.frames.from_arrow(value)
