"""Rows of a stream on disk, one file a pack: how a table larger than memory is cut without being sorted whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
import pyarrow as pa

PACK: Final = "lakemill_pack"
SPILL_ROWS: Final = 2**17


class Spill:
    """Files of the rows of each pack, in the order in which they came; gone when it is closed.

    The last rows stay in memory, so that a small table touches no file.

    Parameters
    ----------
    folder
        Where the files go; what a killed process left there is deleted.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[int, pa.Table] = {}
        self.packs: set[int] = set()

    def __enter__(self) -> Self:
        """Begin with an empty folder."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete the files."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, stream: pa.RecordBatchReader) -> None:
        """Add each row to those of the pack that its column `PACK` names."""
        for rows in _in_bulk(stream):
            for pack, piece in self._held.items():
                self._append(pack, piece)
            self._held = dict(by_pack(rows))
            self.packs |= set(self._held)

    def read(self, pack: int) -> pa.Table:
        """Return all rows of a pack."""
        held = [self._held[pack]] if pack in self._held else []
        return pa.concat_tables([*self._written(pack), *held])

    def _written(self, pack: int) -> Iterator[pa.Table]:
        if self._path(pack).exists():
            with pa.OSFile(str(self._path(pack))) as file:
                yield from _pieces(file)

    def _append(self, pack: int, rows: pa.Table) -> None:
        with self._path(pack).open("ab") as file, pa.ipc.new_stream(file, rows.schema) as writer:
            writer.write_table(rows)

    def _path(self, pack: int) -> Path:
        return self._folder / f"{pack:06d}.arrows"


def _in_bulk(stream: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Yield tables of many rows, because every piece of one costs a file that is opened."""
    held: list[pa.RecordBatch] = []
    for batch in stream:
        held.append(batch)
        if sum(map(len, held)) >= SPILL_ROWS:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def by_pack(rows: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    """Yield the rows of each pack, without the column `PACK`.

    Examples
    --------
    >>> rows = pa.table({"k": ["a", "b", "c"], PACK: [7, 1, 7]})
    >>> [(pack, piece["k"].to_pylist()) for pack, piece in by_pack(rows)]
    [(1, ['b']), (7, ['a', 'c'])]
    """
    packs = rows[PACK].to_numpy()
    order = np.argsort(packs, kind="stable")
    together, packs = rows.drop_columns([PACK]).take(order), packs[order]
    for start, end in pairwise([0, *(np.flatnonzero(np.diff(packs)) + 1).tolist(), len(packs)]):
        if end > start:
            yield int(packs[start]), together.slice(start, end - start)


def _pieces(file: pa.NativeFile) -> Iterator[pa.Table]:
    while file.tell() < file.size():
        with closing(pa.ipc.open_stream(file)) as stream:
            yield stream.read_all()
