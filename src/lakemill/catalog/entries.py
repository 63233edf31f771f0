"""What the metadata database knows of tables: their names, comments, tags and lineage."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from lakemill.catalog.records import Access, TableInfo
from lakemill.catalog.statistics import GroupSizes
from lakemill.core.errors import AlreadyExistsError, NotFoundError, nearest
from lakemill.core.records import Context, TableRef, to_json, utc_now
from lakemill.metadata import Database
from lakemill.metadata.schema import group_sizes, table_access, table_tags, tables


class Entries:
    """The rows of the catalog in the metadata database."""

    def __init__(self, database: Database, context: Context) -> None:
        self._database = database
        self._context = context

    def get(self, name: str) -> TableInfo:
        """Return a table's entry.

        Raises
        ------
        NotFoundError
            If there is none; the nearest name is named.
        """
        found = self.find(name)
        if found is None:
            raise NotFoundError(f"no table {name}", hint=nearest(name, [info.name for info in self.all("")]))
        return found

    def find(self, name: str) -> TableInfo | None:
        """Return a table's entry, None if there is none."""
        found = self._select(tables.c.name == name)
        return found[0] if found else None

    def all(self, prefix: str) -> tuple[TableInfo, ...]:
        """Return the entries whose name begins with `prefix`, by name."""
        return self._select(tables.c.name.startswith(prefix, autoescape=True))

    def insert(self, info: TableInfo, *, connection: sa.Connection) -> None:
        """Enter a table.

        Raises
        ------
        AlreadyExistsError
            If the name is taken.
        """
        row = {column.name: getattr(info, column.name) for column in tables.columns}
        try:
            connection.execute(tables.insert(), row | {"primary_keys": list(info.primary_keys)})
        except IntegrityError as error:
            raise AlreadyExistsError(
                f"table {info.name} exists", hint="write to it, or drop_table() it first"
            ) from error
        _put_tags(connection, info.name, info.tags)

    def delete(self, name: str) -> None:
        """Forget a table, with its tags and lineage."""
        with self._database.writing() as connection:
            connection.execute(tables.delete().where(tables.c.name == name))

    def comment(self, name: str, text: str) -> None:
        """Set the comment of a table."""
        with self._database.writing() as connection:
            connection.execute(tables.update().where(tables.c.name == name).values(comment=text))

    def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Set some tags of a table; others stay."""
        with self._database.writing() as connection:
            connection.execute(_tags_of(name).where(table_tags.c.key.in_(list(tags))))
            _put_tags(connection, name, tags)

    def record_access(self, kind: Literal["read", "write"], *, name: str, version: int) -> None:
        """Enter that this context read or wrote a version; the first time counts."""
        row = {"kind": kind, "table_name": name, "version": version, "at": utc_now()}
        who = {"run_id": self._context.run_id, "task_key": self._context.task_key, "user": self._context.user}
        with contextlib.suppress(IntegrityError), self._database.writing() as connection:
            connection.execute(table_access.insert(), row | who)

    def accesses(self, name: str) -> tuple[Access, ...]:
        """Return who read and wrote a table, oldest first."""
        query = sa.select(table_access).where(table_access.c.table_name == name).order_by(table_access.c.id)
        with self._database.reading() as connection:
            return tuple(_access(row) for row in connection.execute(query).mappings())

    def group_sizes(self, ref: TableRef, by: Sequence[str]) -> GroupSizes | None:
        """Return how a version's rows fall into groups, None if that was never counted."""
        wanted = sa.select(group_sizes.c.groups, group_sizes.c.largest_rows).filter_by(**_groups_key(ref, by))
        with self._database.reading() as connection:
            row = connection.execute(wanted).mappings().first()
        return None if row is None else GroupSizes(**row)

    def keep_group_sizes(self, ref: TableRef, by: Sequence[str], *, sizes: GroupSizes) -> None:
        """Enter how a version's rows fall into groups; versions never change, so nobody counts again."""
        row = {"groups": sizes.groups, "largest_rows": sizes.largest_rows, **_groups_key(ref, by)}
        with contextlib.suppress(IntegrityError), self._database.writing() as connection:
            connection.execute(group_sizes.insert(), row)

    def _select(self, condition: sa.ColumnElement[bool]) -> tuple[TableInfo, ...]:
        names = sa.select(tables.c.name).where(condition)
        query = sa.select(tables).where(condition).order_by(tables.c.name)
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
            tags = connection.execute(sa.select(table_tags).where(table_tags.c.table_name.in_(names))).all()
        return tuple(_info(row, {key: value for table, key, value in tags if table == row["name"]}) for row in rows)


def _groups_key(ref: TableRef, by: Sequence[str]) -> dict[str, str | int]:
    return {"table_name": ref.name, "version": ref.version, "by": to_json(sorted(by))}


def _tags_of(name: str) -> sa.Delete:
    return table_tags.delete().where(table_tags.c.table_name == name)


def _put_tags(connection: sa.Connection, name: str, tags: Mapping[str, str]) -> None:
    if tags:
        rows = [{"table_name": name, "key": key, "value": value} for key, value in tags.items()]
        connection.execute(table_tags.insert(), rows)


def _info(row: sa.RowMapping, tags: Mapping[str, str]) -> TableInfo:
    return TableInfo(**{**row, "primary_keys": tuple(row["primary_keys"]), "tags": tags})


def _access(row: sa.RowMapping) -> Access:
    values = {key: value for key, value in row.items() if key not in {"id", "table_name"}}
    return Access(table=row["table_name"], **values)
