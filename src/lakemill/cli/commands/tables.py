"""``lakemill tables``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lakemill.cli.options import JsonOption, TargetOption
from lakemill.cli.output import fields, plain, print_json, show, table
from lakemill.cli.wording import ago, value
from lakemill.core.records import Context, record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from lakemill.catalog import Access, Commit, TableInfo
    from lakemill.core.records import TableRef
    from lakemill.workspace import Workspace

FIRST_ROWS: Final = 5
NEWEST: Final = 10


@record
class _Found:
    info: TableInfo
    ref: TableRef
    history: tuple[Commit, ...] = ()
    lineage: tuple[Access, ...] = ()
    rows: Sequence[Mapping[str, Any]] = ()


def tables(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One table, with all that is known.")] = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the tables, or show one with history and lineage.

    Example:  lakemill tables main.retail.sales
    """
    with _workspace(target) as workspace:
        if name:
            found = _look(workspace, name)
            print_json({"table": _described(found)}) if as_json else _show(found)
        else:
            listed = [_Found(info=info, ref=workspace.catalog.ref(info.name)) for info in workspace.catalog.tables()]
            print_json({"tables": [_named(each) for each in listed]}) if as_json else _list(listed)


def _workspace(target: str | None) -> Workspace:
    """Open the workspace of a target with engines of this machine: five rows need no cluster."""
    from lakemill.projects import load_project, with_engine
    from lakemill.projects.load import current_user
    from lakemill.workspace import Workspace

    project = with_engine(load_project(target=target), "local")
    return Workspace(project.settings, context=Context(user=current_user()))


def _look(workspace: Workspace, name: str) -> _Found:
    catalog, frames = workspace.catalog, workspace.frames
    ref = catalog.ref(name)
    first = frames.sql(f"select * from it limit {FIRST_ROWS}", {"it": frames.scan(ref)})
    return _Found(
        info=catalog.info(name),
        ref=ref,
        history=catalog.history(name),
        lineage=catalog.lineage(name),
        rows=frames.to_arrow(first).read_all().to_pylist(),
    )


def _named(found: _Found) -> dict[str, Any]:
    return {**plain(found.info), "version": found.ref.version, "columns": plain(found.ref.columns)}


def _described(found: _Found) -> dict[str, Any]:
    return {**_named(found), "history": found.history, "lineage": found.lineage, "rows": found.rows}


def _list(found: Sequence[_Found]) -> None:
    made = table("table", "version", "columns", "keys", "comment", right=("version", "columns"), wrap=("comment",))
    for each in found:
        keys = ", ".join(each.info.primary_keys)
        made.add_row(each.info.name, str(each.ref.version), str(len(each.ref.columns)), keys, each.info.comment)
    show(made if found else "no tables yet: a job makes them (`lakemill run JOB`)")


def _show(found: _Found) -> None:
    info = found.info
    facts = [
        ("table", info.name),
        ("comment", info.comment),
        ("tags", ", ".join(f"{key}={text}" if text else key for key, text in info.tags.items())),
        ("primary key", ", ".join(info.primary_keys)),
        ("time column", info.timeseries_column),
        ("version", str(found.ref.version)),
        ("created", f"{info.created_at:%Y-%m-%d %H:%M} UTC by {info.created_by}"),
        ("location", info.location),
    ]
    rows = _rows(found) if found.rows else "no rows"
    show(fields(facts), _columns(found.ref), _history(found.history), _lineage(found.lineage), rows)


def _columns(ref: TableRef) -> Table:
    made = table("column", "type", "")
    for column in ref.columns:
        made.add_row(column.name, column.type, "" if column.nullable else "not null")
    return made


def _history(commits: Sequence[Commit]) -> Table:
    made = table("version", "operation", "rows added", "run", "by", "when", right=("version", "rows added"))
    for commit in commits[:NEWEST]:
        added = commit.metrics.get("num_added_rows")
        rows = "" if added is None else f"{int(added):,}"
        made.add_row(
            str(commit.version), commit.operation.lower(), rows, commit.run_id, commit.user, ago(commit.timestamp)
        )
    return made


def _lineage(accesses: Sequence[Access]) -> Table:
    made = table("lineage", "version", "run", "task", "by", "when", right=("version",))
    for access in reversed(accesses[-NEWEST:]):
        done = "written" if access.kind == "write" else "read"
        made.add_row(done, str(access.version), access.run_id, access.task_key, access.user, ago(access.at))
    return made


def _rows(found: _Found) -> Table:
    made = table(*found.ref.column_names)
    for row in found.rows:
        made.add_row(*(value(row[name]) for name in found.ref.column_names))
    return made
