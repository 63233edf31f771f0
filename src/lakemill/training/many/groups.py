"""One pack of groups in a child process: fit each, spool each result, leave files and a manifest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lakemill.core.records import record
from lakemill.engines.process import Attempt, Failure
from lakemill.engines.process.child import describe
from lakemill.training.many.staging import Finished, Spool, Staging

Key = tuple[Any, ...]
Columns = Mapping[str, Any]


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
        For each input part its Parquet files: a path below the staging folder with ``{pack}`` in it.
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

    def __init__(self, key: Key, parts: Mapping[str, pa.Table]) -> None:
        self.key = key
        self._parts = parts

    def column(self, part: str, name: str) -> np.ndarray[Any, np.dtype[Any]]:
        """Return one column as an array of shape ``(n_rows,)``."""
        column: np.ndarray[Any, np.dtype[Any]] = self._parts[part][name].to_numpy()
        return column

    def frame(self, part: str) -> pd.DataFrame:
        """Return all rows of a part as pandas."""
        frame: pd.DataFrame = self._parts[part].to_pandas()
        return frame


def fit_pack(work: tuple[Phase, str, int], attempt: Attempt) -> Manifest:
    """Fit every group of a pack that is not in its spool yet, then turn the spool into files.

    Parameters
    ----------
    work
        The phase, the folder of the training and the number of the pack.
    attempt
        How earlier attempts ended; groups whose verdict is final go into the ledger.
    """
    phase, folder, pack = work
    staging = Staging(Path(folder))
    with staging.spool(phase.name, pack) as spool:
        for group in read_groups(phase, staging, pack):
            if group.key not in spool.done:
                spool.add(_fit(phase, group, attempt))
        attempt.at("")
        _write_outputs(phase, staging, spool, pack)
        return _manifest(spool, pack)


def _fit(phase: Phase, group: Group, attempt: Attempt) -> Finished:
    name = item_name(group.key)
    if (failure := attempt.verdict(name)) is not None:
        return Finished(key=group.key, failure=failure)
    attempt.at(name)
    started = time.perf_counter()
    rows, failure = _outcome(phase.fn, group)
    return Finished(key=group.key, rows=rows, failure=failure, seconds=time.perf_counter() - started)


def _outcome(
    fn: Callable[[Group], Mapping[str, Columns]], group: Group
) -> tuple[Mapping[str, Columns], Failure | None]:
    try:
        return fn(group), None
    except Exception as error:  # noqa: BLE001  user code may raise anything
        return {}, describe(error)


def item_name(key: Key) -> str:
    """Return the text by which a group is known in progress and ledger."""
    return " | ".join(str(value) for value in key)


def read_groups(phase: Phase, staging: Staging, pack: int) -> Iterator[Group]:
    """Yield the groups of a pack in the order of its first part."""
    tables = {part: pq.read_table(staging.root / path.format(pack=pack)) for part, path in phase.parts.items()}
    slices = {part: dict(_runs(table, phase.by)) for part, table in tables.items()}
    for key in next(iter(slices.values())):
        yield Group(key, {part: table.slice(*slices[part].get(key, (0, 0))) for part, table in tables.items()})


def _runs(table: pa.Table, by: tuple[str, ...]) -> Iterator[tuple[Key, tuple[int, int]]]:
    """Yield each key with offset and length of its run; the table is sorted by key."""
    if not table.num_rows:
        return
    columns = [table[name].combine_chunks() for name in by]
    changed = np.zeros(table.num_rows - 1, dtype=bool)
    for column in columns:
        changed |= pa.compute.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    starts = [0, *(np.flatnonzero(changed) + 1).tolist()]
    for start, end in zip(starts, [*starts[1:], table.num_rows], strict=True):
        yield tuple(column[start].as_py() for column in columns), (start, end - start)


def _write_outputs(phase: Phase, staging: Staging, spool: Spool, pack: int) -> None:
    key_schema = pq.read_schema(staging.root / next(iter(phase.parts.values())).format(pack=pack))
    keys = [key_schema.field(name) for name in phase.by]
    with staging.finishing(phase.name, pack) as folder:
        for output, schema in phase.outputs.items():
            full = pa.schema([*keys, *schema])
            pq.write_table(_collect(spool, output, full, phase.by), folder / f"{output}.parquet")
        pq.write_table(_ledger(spool, pa.schema([*keys, *LEDGER]), phase), folder / "failures.parquet")


LEDGER = pa.schema(
    [
        ("phase", pa.string()),
        ("kind", pa.string()),
        ("message", pa.string()),
        ("traceback", pa.string()),
        ("seconds", pa.float64()),
    ]
)


def _collect(spool: Spool, output: str, schema: pa.Schema, by: tuple[str, ...]) -> pa.Table:
    batches = [_batch(item.key, item.rows[output], schema, by) for item in spool.finished() if output in item.rows]
    return pa.Table.from_batches(batches, schema)


def _batch(key: Key, columns: Columns, schema: pa.Schema, by: tuple[str, ...]) -> pa.RecordBatch:
    length = next((len(v) for v in columns.values() if _is_column(v)), 1)
    values = {**dict(zip(by, key, strict=True)), **columns}
    arrays = [_array(values[field.name], field.type, length) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _is_column(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | bytes)


def _array(value: Any, kind: pa.DataType, length: int) -> pa.Array:
    if _is_column(value):
        return pa.array(value, type=kind)
    return pa.repeat(pa.scalar(value, type=kind), length)


def _ledger(spool: Spool, schema: pa.Schema, phase: Phase) -> pa.Table:
    rows = [(item, item.failure) for item in spool.finished() if item.failure is not None]
    batches = [
        _batch(
            item.key,
            {
                "phase": phase.name,
                "kind": failure.kind,
                "message": failure.message,
                "traceback": failure.traceback,
                "seconds": item.seconds,
            },
            schema,
            phase.by,
        )
        for item, failure in rows
    ]
    return pa.Table.from_batches(batches, schema)


def _manifest(spool: Spool, pack: int) -> Manifest:
    groups, seconds, failures = 0, 0.0, list[str]()
    for item in spool.finished():
        groups, seconds = groups + 1, seconds + item.seconds
        if item.failure is not None:
            failures.append(item.failure.message)
    last = failures[-1] if failures else ""
    return Manifest(pack=pack, groups=groups, failed=len(failures), fit_seconds=seconds, last_failure=last)
