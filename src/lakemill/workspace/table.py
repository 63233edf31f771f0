"""A catalog table bound to the engine that reads and writes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from lakemill.core.records import TableRef
from lakemill.engines.frames import Frame, FrameEngine

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from lakemill.catalog import Catalog, Commit, TableInfo


class Table:
    """One table of a workspace, by name.

    Parameters
    ----------
    name
        ``catalog.schema.table``; the table need not exist before it is written.
    catalog
        Where the name is known.
    frames
        Gives the engine, which opens when rows are first touched.
    """

    def __init__(self, name: str, *, catalog: Catalog, frames: Callable[[], FrameEngine]) -> None:
        self.name = name
        self._catalog = catalog
        self._frames = frames

    def __repr__(self) -> str:
        """Show the name."""
        return f"Table({self.name!r})"

    @property
    def ref(self) -> TableRef:
        """The table at its newest version."""
        return self._catalog.ref(self.name)

    @property
    def info(self) -> TableInfo:
        """Comment, tags, keys, owner."""
        return self._catalog.info(self.name)

    def exists(self) -> bool:
        """Return whether the table is there."""
        return self._catalog.exists(self.name)

    def history(self) -> tuple[Commit, ...]:
        """Return the commits, newest first."""
        return self._catalog.history(self.name)

    def scan(self, *, version: int | None = None, at: datetime | None = None) -> Frame:
        """Return the engine's own lazy frame over one version, and note the read in the lineage.

        Raises
        ------
        NotFoundError
            If there is no such table or version.
        """
        ref = self._catalog.ref(self.name, version=version, at=at)
        self._catalog.record_read(ref)
        return self._frames().scan(ref)

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
        engine = self._frames()
        if not engine.is_frame(data):
            return self._catalog.write(self.name, data, mode=mode, keys=keys, evolve=evolve)
        return engine.write(data, self._catalog, name=self.name, mode=mode, keys=keys, evolve=evolve)

    def summary(self) -> pd.DataFrame:
        """Return counts, mean, deviation and quartiles of each column, as `workspace.summary.summarize` defines them.

        The table may be larger than memory. It is sorted once a numeric column.
        """
        from lakemill.workspace.summary import summarize

        return summarize(self._frames(), self.scan())

    def to_arrow(self) -> pa.Table:
        """Read the whole table into memory as Arrow."""
        return self._frames().to_arrow(self.scan()).read_all()

    def to_pandas(self) -> pd.DataFrame:
        """Read the whole table into memory as pandas."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame
