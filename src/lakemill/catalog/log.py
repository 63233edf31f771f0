"""The Delta log of a table: versions, commits and the conflicts between them.

Every commit is a compare-and-swap: it succeeds only as the version right after the one it was made
against, else it is made again against the newer one. delta-rs would retry by itself where it sees no
conflict, but then an overwrite keeps rows that another writer adds at that moment.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError

from lakemill.catalog.records import Commit, CommitKey
from lakemill.catalog.storage import storage_errors
from lakemill.core.errors import AlreadyExistsError, ConflictError, NotFoundError, StorageError, UnsupportedError
from lakemill.core.records import Context

logger = logging.getLogger(__name__)

ATTEMPTS = 60
COMMITS_PER_CHECKPOINT = 50
_LONGEST_PAUSE_SECONDS = 2.0
_RUN, _TASK, _WRITER, _SEQUENCE = "lakemill.run", "lakemill.task", "lakemill.writer", "lakemill.sequence"
_UNREADABLE = {"deletionVectors", "columnMapping"}

# Checkpoints are made by `Log.commit` once a commit is there, and no log entry ever expires: within the commit,
# their failure would look like the commit's own.
NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)

Attempt = Callable[[DeltaTable, CommitProperties], int]


class Log:
    """The log of the table at `location`.

    Parameters
    ----------
    location
        The table's folder.
    name
        What to call the table in errors.
    context
        Who commits.
    """

    def __init__(self, location: str, *, name: str, context: Context) -> None:
        self.location = location
        self.name = name
        self.context = context

    def create(self, schema: pa.Schema) -> None:
        """Begin the log with an empty version; the empty remains of a killed creation are replaced.

        Raises
        ------
        AlreadyExistsError
            If the folder holds a table with data that the catalog does not know.
        """
        with storage_errors(f"table {self.name}"):
            remains = DeltaTable.is_deltatable(self.location)
            if remains and self.open().file_uris():
                raise AlreadyExistsError(
                    f"{self.location} holds a Delta table that the catalog does not know",
                    hint="move the folder away, or delete it if nobody needs it",
                )
            DeltaTable.create(
                self.location,
                schema,
                mode="overwrite" if remains else "error",
                commit_properties=self._properties(None, metrics=None),
                post_commithook_properties=NO_HOOKS,
            )

    def open(self, version: int | None = None) -> DeltaTable:
        """Open the newest version, or a given one.

        Raises
        ------
        NotFoundError
            If there is no such version.
        UnsupportedError
            If another writer has switched on what readers of plain Parquet files would miss.
        """
        with storage_errors(f"table {self.name}"):
            table = DeltaTable(self.location)
            if version is not None:
                self._load(table, version)
        self._check_readable(table)
        return table

    def schema(self) -> pa.Schema:
        """Return the schema of the newest version."""
        return arrow_schema(self.open())

    def version_at(self, at: datetime) -> int:
        """Return the version that was the newest at an instant.

        Raises
        ------
        NotFoundError
            If the table began later.
        """
        commits = self.history()
        found = [commit.version for commit in commits if commit.timestamp <= at]
        if not found:
            raise NotFoundError(f"table {self.name} has no version at {at}; its first is of {commits[-1].timestamp}")
        return max(found)

    def history(self) -> tuple[Commit, ...]:
        """Return the commits, newest first."""
        return tuple(_commit(entry) for entry in self._entries())

    def committed(self, writer: str) -> int:
        """Return a writer's last sequence number, -1 if it has none."""
        return _last_sequence(self.open(), writer)

    def version_of(self, key: CommitKey) -> int | None:
        """Return the version that a commit key made, None if the log has forgotten it."""
        marks = {_WRITER: key.writer, _SEQUENCE: key.sequence}
        return next((entry["version"] for entry in self._entries() if entry.items() >= marks.items()), None)

    def commit(self, attempt: Attempt, *, key: CommitKey | None, metrics: dict[str, int] | None = None) -> int | None:
        """Commit once: attempt, and attempt again against the newer version as others get there first.

        Parameters
        ----------
        attempt
            Makes the commit against the version it is given and returns its version.
        key
            Makes it idempotent.
        metrics
            The figures of the commit, unless the operation counts by itself.

        Returns
        -------
        int or None
            The new version; None if the key is committed already.

        Raises
        ------
        ConflictError
            If others got there first every time.
        """
        for pause in _pauses():
            table = self.open()
            if key is not None and key.sequence <= _last_sequence(table, key.writer):
                return None
            try:
                with storage_errors(f"table {self.name}"):
                    version = attempt(table, self._properties(key, metrics=metrics))
            except CommitFailedError as error:
                logger.info("commit to %s again, another came first: %s", self.name, error)
                time.sleep(pause)
            else:
                self._checkpoint(version)
                return version
        raise ConflictError(
            f"table {self.name}: other writers got there first {ATTEMPTS} times",
            hint="nothing was written; try again when fewer write to it",
        )

    def _checkpoint(self, version: int) -> None:
        if version == 0 or version % COMMITS_PER_CHECKPOINT:
            return
        try:
            self.open(version).create_checkpoint()
        except (DeltaError, StorageError) as error:
            logger.warning("table %s: no checkpoint of version %s: %s", self.name, version, error)

    def _load(self, table: DeltaTable, version: int) -> None:
        newest = table.version()
        if not 0 <= version <= newest:
            raise NotFoundError(f"table {self.name} has no version {version}", hint=f"it has versions 0 to {newest}")
        try:
            table.load_as_version(version)
        except DeltaError as error:
            raise NotFoundError(
                f"table {self.name} no longer keeps version {version}", hint="its history() names those it keeps"
            ) from error

    def _check_readable(self, table: DeltaTable) -> None:
        used = sorted(_UNREADABLE & set(table.protocol().reader_features or ()))
        used += ["partitions"] if table.metadata().partition_columns else []
        if used:
            raise UnsupportedError(
                f"table {self.name} uses {', '.join(used)}, which would be read wrongly",
                hint="write it anew without, through the catalog",
            )

    def _entries(self) -> list[dict[str, Any]]:
        with storage_errors(f"table {self.name}"):
            found: list[dict[str, Any]] = self.open().history()
            return found

    def _properties(self, key: CommitKey | None, *, metrics: dict[str, int] | None) -> CommitProperties:
        marks: dict[str, Any] = {
            "userName": self.context.user,
            _RUN: self.context.run_id,
            _TASK: self.context.task_key,
        }
        if metrics is not None:
            marks["operationMetrics"] = metrics
        if key is not None:
            marks |= {_WRITER: key.writer, _SEQUENCE: key.sequence}
        transactions = [] if key is None else [Transaction(key.writer, key.sequence)]
        return CommitProperties(custom_metadata=marks, max_commit_retries=0, app_transactions=transactions)


def arrow_schema(table: DeltaTable) -> pa.Schema:
    """Return the schema of an open table."""
    return pa.schema(table.schema().to_arrow())


def _last_sequence(table: DeltaTable, writer: str) -> int:
    found = table.transaction_version(writer)
    return -1 if found is None else int(found)


def _commit(entry: dict[str, Any]) -> Commit:
    return Commit(
        version=entry["version"],
        timestamp=datetime.fromtimestamp(entry["timestamp"] / 1000, tz=UTC),
        operation=entry["operation"],
        user=entry.get("userName", ""),
        run_id=entry.get(_RUN, ""),
        metrics=entry.get("operationMetrics") or {},
    )


def _pauses() -> Iterator[float]:
    longest = 0.01
    for _ in range(ATTEMPTS):
        yield random.uniform(0, longest)  # noqa: S311 - spreads writers out, guards nothing
        longest = min(_LONGEST_PAUSE_SECONDS, longest * 1.5)
