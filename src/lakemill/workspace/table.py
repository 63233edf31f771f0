"""A catalog table bound to the engine that reads and writes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from lakemill.core.records import TableRef
from lakemill.engines.frames import Frame

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from lakemill.catalog import Commit, TableInfo
    from lakemill.workspace.workspace import Workspace


class Table:
    """One table of a workspace, by name.

    Parameters
    ----------
    workspace
        The workspace that holds the catalog and the frame engine.
    name
        ``catalog.schema.table``; the table need not exist before it is written.
    """

    def __init__(self, workspace: Workspace, name: str) -> None:
        self._workspace = workspace
        self.name = name

    def __repr__(self) -> str:
        """Show the name."""
        return f"Table({self.name!r})"

    @property
    def ref(self) -> TableRef:
        """The table at its newest version."""
        return self._workspace.catalog.ref(self.name)

    @property
    def info(self) -> TableInfo:
        """Comment, tags, keys, owner."""
        return self._workspace.catalog.info(self.name)

    def exists(self) -> bool:
        """Return whether the table is there."""
        return self._workspace.catalog.exists(self.name)

    def history(self) -> tuple[Commit, ...]:
        """Return the commits, newest first."""
        return self._workspace.catalog.history(self.name)

    def scan(self, *, version: int | None = None, at: datetime | None = None) -> Frame:
        """Return the engine's own lazy frame over one version, and note the read in the lineage.

        Raises
        ------
        NotFoundError
            If there is no such table or version.
        """
        ref = self._workspace.catalog.ref(self.name, version=version, at=at)
        self._workspace.catalog.record_read(ref)
        return self._workspace.frames.scan(ref)

    def write(
        self,
        data: Any,
        *,
        mode: Literal["append", "overwrite", "merge"] = "append",
        keys: Sequence[str] = (),
        evolve: bool = False,
    ) -> TableRef:
        """Write an engine's frame, or anything that speaks Arrow (pandas, Polars, pyarrow).

        Modes and errors as in `Catalog.write`.
        """
        workspace = self._workspace
        if hasattr(data, "__arrow_c_stream__") and not workspace.frames.is_frame(data):
            return workspace.catalog.write(self.name, data, mode=mode, keys=keys, evolve=evolve)
        return workspace.frames.write(data, workspace.catalog, name=self.name, mode=mode, keys=keys, evolve=evolve)

    def to_arrow(self) -> pa.Table:
        """Read the whole table into memory as Arrow."""
        return self._workspace.frames.to_arrow(self.scan()).read_all()

    def to_pandas(self) -> pd.DataFrame:
        """Read the whole table into memory as pandas."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame
