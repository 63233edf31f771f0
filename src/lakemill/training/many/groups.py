"""One pack of groups in a child process: fit each, spool each result, leave files and a manifest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from lakemill.core.records import record, to_json
from lakemill.engines.process import Attempt
from lakemill.engines.process.child import describe
from lakemill.training.many.artifact import key_text
from lakemill.training.many.outputs import Columns, Key, Outputs
from lakemill.training.many.rows import read_rows, schema_of
from lakemill.training.many.staging import Finished, Staging

if TYPE_CHECKING:
    import pandas as pd

MANIFEST: Final = "manifest.json"


@record
class Phase:
    """What is done to every group, and the tables that come of it.

    Parameters
    ----------
    name
        Names the phase in files, progress and commits.
    by
        Columns that name a group.
    parts
        For each input part its files: a path below the staging folder with ``{pack}`` in it.
        The first part names the groups; each is sorted so that a group's rows are together.
    fn
        From a group to rows: for each output its columns, scalars repeated.
    outputs
        Schema of each output table, without the columns of `by`.
    """

    name: str
    by: tuple[str, ...]
    parts: Mapping[str, str]
    fn: Callable[[Group], Mapping[str, Columns]]
    outputs: Mapping[str, pa.Schema]


@record
class Manifest:
    """What one pack came to: counts, never rows."""

    pack: int
    groups: int
    failed: int
    fit_seconds: float
    last_failure: str = ""


class Group:
    """One group's rows, part by part, in the order of the input.

    Parameters
    ----------
    key
        Values of the columns of `by`.
    parts
        Rows of the group in each part.
    """

    def __init__(self, key: Key, parts: Mapping[str, GroupRows]) -> None:
        self.key = key
        self._parts = parts

    def column(self, part: str, name: str) -> np.ndarray[Any, np.dtype[Any]]:
        """Return one column as an array of shape ``(n_rows,)``."""
        column: np.ndarray[Any, np.dtype[Any]] = self._parts[part].table[name].to_numpy()
        return column

    def frame(self, part: str) -> pd.DataFrame:
        """Return all rows of a part as pandas."""
        return self._parts[part].frame()


class GroupRows:
    """Some rows of a table, and the same as pandas.

    Parameters
    ----------
    table
        The rows.
    whole
        All rows of the pack, whose conversion is shared where it gives the same types.
    start
        Where the rows begin in it.
    """

    def __init__(self, table: pa.Table, *, whole: PartRows | None = None, start: int = 0) -> None:
        self.table = table
        self._whole = whole or PartRows(table)
        self._start = start

    def frame(self) -> pd.DataFrame:
        """Return the rows as pandas, a copy."""
        if self._whole.frame is None:
            return _to_pandas(self.table)
        return self._whole.frame.iloc[self._start : self._start + self.table.num_rows].reset_index(drop=True)


class PartRows:
    """All rows of one part of a pack."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @cached_property
    def frame(self) -> pd.DataFrame | None:
        """All rows as pandas; None where the type of a group's column depends on its own nulls."""
        return None if any(map(_turns_with_nulls, self.table.columns)) else _to_pandas(self.table)

    def rows(self, start: int, length: int) -> GroupRows:
        """Return some of the rows."""
        return GroupRows(self.table.slice(start, length), whole=self, start=start)


def _turns_with_nulls(column: pa.ChunkedArray) -> bool:
    """Tell whether pandas has another type for these values where some are null."""
    kind = column.type
    return bool(column.null_count) and (pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(use_threads=False)  # small: threads would cost more
    return frame


def fit_pack(phase: Phase, folder: str, pack: int, attempt: Attempt) -> Manifest:
    """Fit every group of a pack that is not in its spool yet, then turn the spool into files.

    Parameters
    ----------
    phase
        What is done to each group.
    folder
        The folder of the training.
    pack
        The number of the pack.
    attempt
        How earlier attempts ended; groups whose verdict is final go into the ledger.
    """
    import pandas  # noqa: F401, ICN001  here, for no group's seconds should hold it

    staging = Staging(Path(folder))
    if (known := kept_manifest(staging, phase.name, pack)) is not None:
        return known
    outputs = outputs_of(phase, staging, pack)
    with staging.spool(phase.name, pack) as spool:
        for group in read_groups(phase, staging, pack):
            if group.key not in spool.finished:
                spool.add(_fit(phase, group, outputs=outputs, attempt=attempt))
        attempt.at("")
        results = list(spool.finished.values())
        manifest = _manifest(results, pack)
        with staging.finishing(phase.name, pack) as files:
            outputs.write(files, results, phase=phase.name)
            (files / MANIFEST).write_text(to_json(manifest))
    return manifest


def kept_manifest(staging: Staging, phase: str, pack: int) -> Manifest | None:
    """Return the manifest of a finished pack, or None while there is none."""
    path = staging.result(phase, pack) / MANIFEST
    return Manifest(**json.loads(path.read_text())) if path.exists() else None


def outputs_of(phase: Phase, staging: Staging, pack: int) -> Outputs:
    """Return the outputs of a phase, whose columns of `by` are those of a pack."""
    schema = schema_of(staging.root / next(iter(phase.parts.values())).format(pack=pack))
    return Outputs(phase.outputs, keys=[schema.field(name) for name in phase.by])


def _fit(phase: Phase, group: Group, *, outputs: Outputs, attempt: Attempt) -> Finished:
    name = key_text(group.key)
    if (failure := attempt.verdict(name)) is not None:
        return Finished(key=group.key, failure=failure)
    attempt.at(name)
    started = time.perf_counter()
    try:
        rows = outputs.encode(group.key, phase.fn(group))
    except Exception as error:  # noqa: BLE001  user code may raise anything
        return Finished(key=group.key, failure=describe(error), seconds=time.perf_counter() - started)
    return Finished(key=group.key, rows=rows, seconds=time.perf_counter() - started)


def _manifest(results: Sequence[Finished], pack: int) -> Manifest:
    failures = [item.failure.message for item in results if item.failure is not None]
    return Manifest(
        pack=pack,
        groups=len(results),
        failed=len(failures),
        fit_seconds=sum(item.seconds for item in results),
        last_failure=failures[-1] if failures else "",
    )


def read_groups(phase: Phase, staging: Staging, pack: int) -> Iterator[Group]:
    """Yield the groups of a pack in the order of its first part."""
    parts = {part: PartRows(read_rows(staging.root / path.format(pack=pack))) for part, path in phase.parts.items()}
    runs = {part: dict(runs_of(whole.table, phase.by)) for part, whole in parts.items()}
    for key in next(iter(runs.values())):
        yield Group(key, {part: whole.rows(*runs[part].get(key, (0, 0))) for part, whole in parts.items()})


def runs_of(table: pa.Table, by: tuple[str, ...]) -> Iterator[tuple[Key, tuple[int, int]]]:
    """Yield each key with offset and length of its run; the table is sorted by key."""
    import pyarrow.compute as pc  # starts slowly, and a plan compares no rows

    if not table.num_rows:
        return
    columns = [table[name].combine_chunks() for name in by]
    changed = np.zeros(table.num_rows - 1, dtype=bool)
    for column in columns:
        changed |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    starts = [0, *(np.flatnonzero(changed) + 1).tolist()]
    for start, end in zip(starts, [*starts[1:], table.num_rows], strict=True):
        yield tuple(column[start].as_py() for column in columns), (start, end - start)
