from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from lakemill.core.errors import ConfigError, StorageError
from lakemill.metadata import Database, upgrade
from lakemill.metadata.schema import metadata, table_tags, tables


def row(name: str = "main.a.t", at: datetime = datetime(2026, 1, 31, 12, tzinfo=UTC)) -> dict:
    return {
        "name": name,
        "location": "/x",
        "comment": "",
        "primary_keys": ["k"],
        "timeseries_column": None,
        "created_at": at,
        "created_by": "ann",
    }


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/new/folder/metadata.db"


@pytest.fixture
def database(url: str):
    database = Database(url)
    yield database
    database.close()


def test_migrations_make_the_tables_of_the_schema(database):
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_chain_has_one_head_and_the_package_names_it():
    assert ScriptDirectory(str(upgrade.MIGRATIONS)).get_heads() == [upgrade.head()]


def test_sqlite_writes_ahead_and_holds_foreign_keys(database):
    with database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    with pytest.raises(sa.exc.IntegrityError), database.writing() as connection:
        connection.execute(table_tags.insert(), {"table_name": "none", "key": "a", "value": "b"})


def test_opening_a_current_database_loads_no_alembic(database):
    script = (
        "import sys; from lakemill.metadata import Database; Database(sys.argv[1]); print('alembic' in sys.modules)"
    )
    url = database.url.render_as_string()
    done = subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_an_exception_undoes_everything(database):
    with pytest.raises(sa.exc.IntegrityError), database.writing() as connection:
        connection.execute(tables.insert(), [row("main.a.t"), row("main.a.u"), row("main.a.t")])
    with database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables)).scalar() == 0


def test_times_come_back_in_utc(database):
    east = timezone(timedelta(hours=3))
    with database.writing() as connection:
        connection.execute(tables.insert(), row(at=datetime(2026, 1, 31, 15, tzinfo=east)))
    with database.reading() as connection:
        found = connection.execute(sa.select(tables.c.created_at)).scalar_one()
    assert found == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert found.tzinfo is UTC


def test_a_time_without_zone_is_a_fault(database):
    with pytest.raises(sa.exc.StatementError, match="needs a time zone"), database.writing() as connection:
        connection.execute(tables.insert(), row(at=datetime(2026, 1, 31)))  # noqa: DTZ001


def test_what_a_writer_has_read_stays_true_until_it_writes(database):
    """Two threads add one to the same number, many times each; a lost update would show."""
    with database.writing() as connection:
        connection.execute(tables.insert(), row())

    def add() -> None:
        for _ in range(20):
            with database.writing() as connection:
                number = int(connection.execute(sa.select(tables.c.comment)).scalar_one() or 0)
                connection.execute(tables.update().values(comment=str(number + 1)))

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as connection:
        assert connection.execute(sa.select(tables.c.comment)).scalar_one() == "40"


def _open(url: str, barrier, results) -> None:
    barrier.wait()
    try:
        Database(url).close()
        results.put("ok")
    except Exception as error:  # noqa: BLE001
        results.put(repr(error))


def test_processes_may_open_a_new_database_at_once(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(4), spawn.Queue()
    url = f"sqlite:///{tmp_path}/metadata.db"
    children = [spawn.Process(target=_open, args=(url, barrier, results)) for _ in range(4)]
    for child in children:
        child.start()
    assert [results.get(timeout=60) for _ in children] == ["ok"] * 4
    for child in children:
        child.join()
    with sqlite3.connect(tmp_path / "metadata.db") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(upgrade.head(),)]
    connection.close()


def test_a_database_of_a_newer_version_is_refused(database):
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigError, match="9999") as caught:
        Database(database.url.render_as_string())
    assert "pip install --upgrade" in caught.value.hint


def test_a_file_that_is_something_else_is_refused(tmp_path):
    (tmp_path / "metadata.db").write_text("these are my notes, not a database, " * 50)
    with pytest.raises(StorageError, match=r"metadata\.db") as caught:
        Database(f"sqlite:///{tmp_path}/metadata.db")
    assert "move it away" in caught.value.hint
    assert (tmp_path / "metadata.db").read_text().startswith("these are my notes")


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "folder").write_text("")
    with pytest.raises(StorageError, match="folder"):
        Database(f"sqlite:///{tmp_path}/folder/metadata.db")


@pytest.mark.parametrize("url", ["mysql://host/name", "metadata.db", "sqlite"])
def test_other_databases_are_refused(url):
    with pytest.raises(ConfigError) as caught:
        Database(url)
    assert "sqlite:///" in caught.value.hint


def test_an_unreachable_server_is_a_storage_error():
    with pytest.raises(StorageError, match=r"127\.0\.0\.1") as caught:
        Database("postgresql://user:secret@127.0.0.1:1/name")
    assert "secret" not in str(caught.value)
