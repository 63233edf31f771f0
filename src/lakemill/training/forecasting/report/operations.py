"""What the job did: what it refused, what failed, how long it took, from what it was made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from lakemill.core.records import record
from lakemill.metadata.schema import table_access, task_runs
from lakemill.registry import ModelVersion
from lakemill.training.forecasting.report.subject import Row, Subject
from lakemill.training.many.outputs import FAILURES

LEDGER_ROWS: Final = 20
TABLE_TAG: Final = "lakemill.table."
ENGINE_TAG: Final = "lakemill.engine."
JOB_RUN_TAG: Final = "lakemill.run"
RULE: Final = "rule"


@record
class Quarantine:
    """What was caught before it did harm.

    Parameters
    ----------
    table
        Where it is kept.
    rules
        A row for each rule: its text, and how many lines it caught.
    kept_in, kept
        The table that holds the lines that passed, and how many; "" and 0 if it is not known.
    """

    table: str
    rules: tuple[Row, ...]
    kept_in: str
    kept: int

    @property
    def caught(self) -> int:
        """Lines caught."""
        return sum(row["lines"] for row in self.rules)


@record
class Ledger:
    """The series that failed.

    Parameters
    ----------
    table
        Where tracebacks are.
    failed
        Number of failures.
    rows
        The first of them.
    """

    table: str
    failed: int
    rows: tuple[Row, ...]


@record
class Stage:
    """One attempt at a task of the job run; `seconds` is None while it is under way."""

    task_key: str
    attempt: int
    status: str
    seconds: float | None
    peak_bytes: int
    engines: Mapping[str, str]
    message: str


@record
class Provenance:
    """From what the forecasting version was made.

    Parameters
    ----------
    commit
        The git commit; "" outside of a checkout.
    dirty
        Whether files differed from it.
    tables
        Version of each table that it read.
    engines
        Kind of engine by role.
    """

    commit: str
    dirty: bool
    tables: Mapping[str, str]
    engines: Mapping[str, str]


def quarantine(subject: Subject, table: str) -> Quarantine | None:
    """Count what each rule caught; None where there is no such table."""
    if not table or not subject.has(table):
        return None
    rules = subject.rows(
        f"select {RULE}, count(*) as lines from q group by {RULE} order by lines desc, {RULE}", q=table
    )
    kept_in = _counterpart(subject, table)
    kept = subject.rows("select count(*) as n from k", k=kept_in)[0]["n"] if kept_in else 0
    return Quarantine(table=table, rules=tuple(rules), kept_in=kept_in, kept=kept)


def _counterpart(subject: Subject, table: str) -> str:
    """Return the table of the same columns, but for the rule, that the same task wrote; "" if none is alone in that."""
    catalog = subject.workspace.catalog
    writes = [access for access in catalog.lineage(table) if access.kind == "write"]
    if not writes:
        return ""
    wanted = set(catalog.ref(table).column_names) - {RULE}
    found = [
        name
        for name in _written_by(subject, run_id=writes[-1].run_id, task_key=writes[-1].task_key)
        if name != table and set(catalog.ref(name).column_names) == wanted
    ]
    return found[0] if len(found) == 1 else ""


def _written_by(subject: Subject, *, run_id: str, task_key: str) -> list[str]:
    access = table_access.c
    of_task = (access.run_id == run_id) & (access.task_key == task_key) & (access.kind == "write")
    query = sa.select(access.table_name).where(of_task).distinct().order_by(access.table_name)
    with subject.workspace.database.reading() as connection:
        return list(connection.execute(query).scalars())


def ledger(subject: Subject) -> Ledger | None:
    """Return the failures of the newest training, which is the one that just ran."""
    table = subject.table(FAILURES)
    if not subject.has(table):
        return None
    failures = subject.result(FAILURES, version=subject.newest)
    columns = f"{subject.keys}, phase, kind, message"
    rows = subject.rows(f"select {columns} from f order by {columns} limit {LEDGER_ROWS}", f=failures)
    failed = subject.rows("select count(*) as n from f", f=failures)[0]["n"]
    return Ledger(table=table, failed=failed, rows=tuple(rows))


def job_run(subject: Subject) -> str:
    """Return the job run that this report is part of, else the one that trained the newest version, else ""."""
    return subject.workspace.context.run_id or _run_tags(subject, subject.newest).get(JOB_RUN_TAG, "")


def stages(subject: Subject) -> tuple[Stage, ...]:
    """Return every attempt at every task of the job run, in order."""
    columns = task_runs.c
    query = sa.select(task_runs).where(columns.run_id == job_run(subject)).order_by(columns.started_at, columns.attempt)
    with subject.workspace.database.reading() as connection:
        return tuple(_stage(dict(row)) for row in connection.execute(query).mappings())


def _stage(row: Mapping[str, Any]) -> Stage:
    return Stage(
        task_key=row["task_key"],
        attempt=row["attempt"],
        status=row["status"],
        seconds=_seconds(row["started_at"], row["ended_at"]),
        peak_bytes=row["peak_bytes"],
        engines=row["engines"],
        message=row["message"] or row["error"],
    )


def _seconds(started: datetime, ended: datetime | None) -> float | None:
    return None if ended is None else (ended - started).total_seconds()


def provenance(subject: Subject) -> Provenance:
    """Return from what the version was made, as its run recorded it."""
    tags = _run_tags(subject, subject.version)
    return Provenance(
        commit=tags.get("mlflow.source.git.commit", ""),
        dirty=tags.get("lakemill.git.dirty") == "true",
        tables=_after(TABLE_TAG, tags) | _read_now(subject),
        engines=_after(ENGINE_TAG, tags),
    )


def _run_tags(subject: Subject, version: ModelVersion) -> dict[str, str]:
    tags: dict[str, str] = subject.workspace.models.client.get_run(version.run_id).data.tags
    return tags


def _after(prefix: str, tags: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in sorted(tags.items()) if name.startswith(prefix)}


def _read_now(subject: Subject) -> dict[str, str]:
    catalog = subject.workspace.catalog
    return {subject.forecast: str(catalog.ref(subject.forecast).version)} if subject.has(subject.forecast) else {}
