"""The border to DBOS: workflows that survive the death of their process.

DBOS records each finished step in its own database, so that a workflow that is started again goes
on where it was. Three of its habits are turned off here. It recovers the work of its executor by
itself: each process has an executor name of its own, and recovery is a decision of the runner,
who holds the lock. It versions workflows by their source: the version is pinned, so that an edit
of the code does not strand a run. And it talks: to the console, and about a cloud console.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

from dbos import DBOS, DBOSClient
from sqlalchemy import Engine, event, make_url
from sqlalchemy.exc import DatabaseError

from lakemill.core.errors import StorageError

APPLICATION: Final = "lakemill"
VERSION = "1"
"""Raised when the steps of a workflow change: an old run then goes on as a new workflow, from its records."""
POLLING_SECONDS: Final = 0.05
_WAITING: Final = "waiting"
_WORKING: Final = "working"
_WORKFLOW: Final = "job"
_FINAL: Final = ("SUCCESS", "ERROR")
_LOOK_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 10.0
_SUBSECONDS: Final = (3, 42)  # the first SQLite that knows them
_ONE_AT_A_TIME = threading.Lock()  # DBOS is one object per process

Step = Callable[[Callable[[], str]], str]
Reserve = Callable[[str], Step]
Body = Callable[[str, Reserve], str]


class Interrupted(BaseException):
    """A workflow stops without an end: DBOS records nothing, so it can go on later."""


def enqueue(url: str, run_id: str) -> None:
    """Record that a workflow is to run; nothing starts it before `Executor.run` does."""
    with _client(url) as client:
        client.enqueue(
            {"workflow_name": _WORKFLOW, "queue_name": _WAITING, "workflow_id": _name(run_id), "app_version": VERSION}
        )


def cancel(url: str, run_id: str) -> None:
    """Record that a workflow will not run."""
    with _client(url) as client:
        client.cancel_workflow(_name(run_id))


class Executor:
    """Carries out workflows in this process, one after another.

    Parameters
    ----------
    url
        The database of DBOS: SQLite or PostgreSQL.
    body
        The workflow: receives the run and a function that reserves a step by name. Steps must be
        reserved in the same order whenever the same run is carried out; they may run in any order
        and thread. The text that a step returned is what it returns ever after.
    """

    def __init__(self, url: str, body: Body) -> None:
        self._url = url
        self._body = body
        self._ended = threading.Event()
        self._errors: list[BaseException] = []

    def __enter__(self) -> Self:
        """Start DBOS."""
        _ONE_AT_A_TIME.acquire()
        try:
            with _storage_errors(self._url):
                self._launch()
        except BaseException:
            self._shut_down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop DBOS; a workflow that has not ended can go on later."""
        self._shut_down()

    def run(self, run_id: str, stop: threading.Event) -> str:
        """Carry out a workflow from where it is, and return its result.

        Parameters
        ----------
        run_id
            The workflow; it is enqueued if the database has lost it.
        stop
            Set when this call is interrupted, so that the body may end its steps.
        """
        self._errors.clear()
        self._ended.clear()
        enqueue(self._url, run_id)
        handle = DBOS.resume_workflow(_name(run_id), queue_name=_WORKING)
        try:
            while handle.get_status().status not in _FINAL and not self._ended.wait(_LOOK_SECONDS):
                continue
        except BaseException:
            stop.set()
            self._ended.wait(_STOP_SECONDS)
            raise
        with _storage_errors(self._url):
            if self._errors:
                raise self._errors[0]
            result: str = handle.get_result(polling_interval_sec=POLLING_SECONDS)
        return result

    def _launch(self) -> None:
        DBOS(
            config={
                "name": APPLICATION,
                "system_database_url": self._url,
                "application_version": VERSION,
                "executor_id": uuid.uuid4().hex,
                "log_level": "CRITICAL",
                "notification_listener_polling_interval_sec": POLLING_SECONDS,
            }
        )

        @DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=None)
        def workflow() -> str:
            return self._workflow()

        DBOS.listen_queues([_WORKING])
        _empty(self._url)
        DBOS.launch()

    def _shut_down(self) -> None:
        DBOS.destroy(destroy_registry=True)
        _ONE_AT_A_TIME.release()

    def _workflow(self) -> str:
        try:
            return self._body((DBOS.workflow_id or "").rpartition("@")[0], self._reserve)
        except BaseException as error:
            self._errors.append(error)
            raise Interrupted from error
        finally:
            self._ended.set()

    def _reserve(self, name: str) -> Step:
        reservation = DBOS.reserve_step()
        return lambda function: reservation.run({"name": name}, self._unrecorded_errors(function))

    def _unrecorded_errors(self, function: Callable[[], str]) -> Callable[[], str]:
        def step() -> str:
            try:
                return function()
            except Exception as error:  # DBOS would record it, and raise it again ever after
                self._errors.append(error)
                raise Interrupted from error

        return step


@event.listens_for(Engine, "connect")
def _know_subseconds(connection: Any, _record: object) -> None:
    """Give an old SQLite the clock that DBOS takes for granted: from Python 3.12 on it asks for parts of a second."""
    if isinstance(connection, sqlite3.Connection) and sqlite3.sqlite_version_info < _SUBSECONDS:
        connection.create_function("unixepoch", 1, lambda unit: time.time() if unit == "subsec" else None)


def _name(run_id: str) -> str:
    return f"{run_id}@{VERSION}"


@contextmanager
def _client(url: str) -> Iterator[DBOSClient]:
    logging.getLogger("dbos").setLevel(logging.CRITICAL)
    with _storage_errors(url):
        DBOS.migrate(url)
        client = DBOSClient(system_database_url=url, application_name=APPLICATION)
        try:
            yield client
        finally:
            client.destroy()


def _empty(url: str) -> None:
    """Put back what a runner took from the queue and died before it began, or DBOS would begin it at once."""
    with _client(url) as client:
        client.register_queue(_WORKING, polling_interval_sec=POLLING_SECONDS)
        left = client.list_workflows(status="ENQUEUED", queue_name=_WORKING)
        client.resume_workflows([workflow.workflow_id for workflow in left], queue_name=_WAITING)


@contextmanager
def _storage_errors(url: str) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        where = make_url(url).render_as_string(hide_password=True)
        raise StorageError(
            f"state of jobs in {where}: {error.orig}",
            hint="see to the disk or the database server, then run the job again: it goes on where it was",
        ) from error
