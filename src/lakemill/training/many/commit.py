"""The one committer: finished packs become rows of tables, each exactly once.

A batch of packs is first promised (its list written), then committed to each table under the
training's name and the batch's number. Whoever comes after a crash repeats the promised batches;
a table that has a number already takes it as done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from lakemill.catalog import Catalog, CommitKey
from lakemill.training.many.groups import Phase, outputs_of
from lakemill.training.many.outputs import FAILURES
from lakemill.training.many.rows import read_batches
from lakemill.training.many.staging import Staging

COMMIT_SECONDS: Final = 20.0


class Committer:
    """Writes the results of one phase of one training into tables.

    Parameters
    ----------
    catalog
        Where the tables are.
    staging
        Where the files of finished packs are.
    phase
        The phase whose outputs are written.
    tables
        Table name for each output of the phase, and for ``failures``.
    training
        Identity of the training: a column of every table, and the name of the writer.
    """

    def __init__(
        self, catalog: Catalog, staging: Staging, phase: Phase, *, tables: Mapping[str, str], training: str
    ) -> None:
        self._catalog = catalog
        self._staging = staging
        self._phase = phase
        self._tables = tables
        self._training = training
        self._pending: list[int] = []
        self._last = time.monotonic()
        self._sequence = 0

    def recover(self) -> None:
        """Keep every promise of an earlier process, then take up the packs it left uncommitted."""
        promised = self._staging.promises(self._phase.name)
        for sequence, packs in enumerate(promised):
            self._commit(sequence, packs)
        self._sequence = len(promised)
        self._pending = sorted(
            self._staging.finished_packs(self._phase.name) - {p for packs in promised for p in packs}
        )

    def add(self, pack: int) -> None:
        """Take a finished pack; commit when the last commit is long enough ago."""
        self._pending.append(pack)
        if time.monotonic() - self._last > COMMIT_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Commit what is pending."""
        if self._pending:
            packs, self._pending = sorted(self._pending), []
            self._staging.promise(self._phase.name, self._sequence, packs)
            self._commit(self._sequence, packs)
            self._sequence += 1
        self._last = time.monotonic()

    def _commit(self, sequence: int, packs: Sequence[int]) -> None:
        key = CommitKey(writer=f"{self._training}/{self._phase.name}", sequence=sequence)
        for output in (*self._phase.outputs, FAILURES):
            name = self._tables[output]
            if self._catalog.exists(name) and self._catalog.committed(name, key.writer) >= sequence:
                continue
            self._catalog.write(name, self._stream(output, packs), mode="append", commit=key)

    def _stream(self, output: str, packs: Sequence[int]) -> pa.RecordBatchReader:
        schema = with_training(outputs_of(self._phase, self._staging, packs[0]).schema(output))
        paths = [self._staging.result_file(self._phase.name, pack, output) for pack in packs]
        return pa.RecordBatchReader.from_batches(schema, self._batches([p for p in paths if p.exists()], schema))

    def _batches(self, paths: Sequence[Path], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for path in paths:
            for batch in read_batches(path):
                training = pa.repeat(pa.scalar(self._training), batch.num_rows)
                yield pa.RecordBatch.from_arrays([training, *batch.columns], schema=schema)


def with_training(schema: pa.Schema) -> pa.Schema:
    """Return a table's schema: the training's identity, then the columns of an output."""
    return pa.schema([pa.field("training", pa.string()), *schema])
