from __future__ import annotations

import time

import sqlalchemy as sa

from lakemill.projects import durable


def test_every_sqlite_tells_parts_of_a_second(monkeypatch):
    """DBOS stamps its rows so from Python 3.12 on, whatever SQLite that Python was built with."""
    monkeypatch.setattr(durable, "_SUBSECONDS", (99,))  # as where SQLite is too old
    engine, before = sa.create_engine("sqlite://"), time.time()
    with engine.connect() as connection:
        connection.exec_driver_sql("create table stamped (at integer not null default (unixepoch('subsec') * 1000))")
        connection.exec_driver_sql("insert into stamped default values")
        ((at,),) = connection.exec_driver_sql("select at from stamped")
    engine.dispose()
    assert before * 1000 - 1 <= at <= time.time() * 1000
