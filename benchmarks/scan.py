"""Reading a Delta table: each frame engine against itself on the table's Parquet files.

``python -m benchmarks.scan [million rows]``; every column is added up, and the sums are compared first.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from benchmarks._run import bound, figure, machine, report, seconds
from lakemill.core.records import ClusterSpec, Context
from lakemill.engines.frames import FRAME_ENGINES
from lakemill.workspace import Workspace, WorkspaceSettings

MILLION: Final = 10**6
PAIRS: Final = 15
FILES: Final = 4
TABLE: Final = "main.bench.rows"
TOTALS: Final = "select count(*) as n, sum(k) as k, sum(x) as x, sum(length(s)) as s from t"

Contender = Callable[[], tuple[object, ...]]


def rows(number: int, *, seed: int) -> pa.Table:
    """Return random rows of a whole number, another, and a text."""
    generator = np.random.default_rng(seed)
    k = generator.integers(0, 1000, number)
    return pa.table({"k": k, "x": generator.integers(0, 10**9, number), "s": k.astype(str)})


def figures(kind: str, folder: Path) -> list[dict[str, Any]]:
    """Read the table with one engine, and its files with the same engine, in turn."""
    settings = replace(WorkspaceSettings.in_folder("scan", folder), frames=ClusterSpec(kind=kind))
    with Workspace(settings, context=Context(user="benchmark")) as workspace:
        contenders: tuple[Contender, ...] = (lambda: ours(workspace), lambda: raw(workspace, kind))
        assert len({contender() for contender in contenders}) == 1
        pairs = np.array([[seconds(contender) for contender in contenders] for _ in range(PAIRS)])
    mine, theirs = np.median(pairs, axis=0)
    ratio = bound(pairs[:, 0] / pairs[:, 1])
    return [
        figure(f"{kind}: reading a Delta table against reading its Parquet files", ratio, "ratio", n=PAIRS),
        figure(f"{kind}: seconds of reading it", float(mine), "s", raw=float(theirs), n=PAIRS),
    ]


def ours(workspace: Workspace) -> tuple[object, ...]:
    """Add up a table of the catalog."""
    return _only(workspace, workspace.sql(TOTALS, t=TABLE))


def raw(workspace: Workspace, kind: str) -> tuple[object, ...]:
    """Add up its files, named by a pattern."""
    pattern = f"{workspace.catalog.ref(TABLE).location}/*.parquet"
    read: dict[str, Callable[[], Any]] = {
        "local": lambda: workspace.frames.native.read_parquet(pattern),
        "spark": lambda: workspace.frames.native.read.parquet(pattern),
    }
    return _only(workspace, workspace.sql(TOTALS, t=read[kind]()))


def _only(workspace: Workspace, frame: Any) -> tuple[object, ...]:
    (found,) = workspace.frames.to_arrow(frame).read_all().to_pylist()
    return tuple(found.values())


def main() -> None:
    """Write the table, read it with every engine, print the figures."""
    facts = machine()
    number = int(float(sys.argv[1]) * MILLION) if len(sys.argv) > 1 else 10 * MILLION
    with tempfile.TemporaryDirectory() as folder:
        settings = WorkspaceSettings.in_folder("scan", Path(folder))
        with Workspace(settings, context=Context(user="benchmark")) as workspace:
            for part in range(FILES):
                workspace.catalog.write(TABLE, rows(number // FILES, seed=part))
        found = [one for kind in FRAME_ENGINES.kinds() for one in figures(kind, Path(folder))]
    report("scan", facts, found)


if __name__ == "__main__":
    main()
