"""Fixtures that all tests share: engines are started once per worker, and only where a test asks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from lakemill.catalog import Catalog
from lakemill.core.errors import MissingExtraError
from lakemill.core.records import ClusterSpec, Context
from lakemill.engines.frames import FRAME_ENGINES, FrameEngine
from lakemill.engines.tasks import TASK_ENGINES, TaskEngine
from lakemill.metadata import Database

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require", default="", help="kinds whose absence is a failure, not a skip: ray,spark,postgres")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one engine share a worker, so that its cluster starts once."""
    for item in items:
        kind = getattr(item, "callspec", None) and item.callspec.params.get("kind")
        if kind in {"ray", "spark"}:
            item.add_marker(pytest.mark.xdist_group(kind))


@pytest.fixture(scope="session")
def required(pytestconfig: pytest.Config) -> set[str]:
    return set(filter(None, pytestconfig.getoption("--require").split(",")))


def _loaded(slot, kind: str, required: set[str]):
    try:
        return slot.load(kind)
    except MissingExtraError as error:
        if kind in required:
            pytest.fail(f"--require={kind}: {error}")
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def task_engines(required: set[str]) -> Iterator[dict[str, TaskEngine]]:
    opened: dict[str, TaskEngine] = {}
    yield _Lazy(opened, lambda kind: _loaded(TASK_ENGINES, kind, required)(ClusterSpec(kind=kind)))
    for engine in opened.values():
        engine.close()


@pytest.fixture(scope="session")
def frame_engines(required: set[str]) -> Iterator[dict[str, FrameEngine]]:
    opened: dict[str, FrameEngine] = {}
    yield _Lazy(opened, lambda kind: _loaded(FRAME_ENGINES, kind, required)(ClusterSpec(kind=kind)))
    for engine in opened.values():
        engine.close()


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with closing(Database(f"sqlite:///{tmp_path}/metadata.db")) as database:
        yield Catalog(root=str(tmp_path / "tables"), database=database, context=Context(user="test"))


@pytest.fixture(scope="session")
def postgresql(required: set[str], tmp_path_factory) -> Iterator[Callable[[str], str]]:
    """Make databases on a PostgreSQL server of this test session; returns their URLs."""
    if find_spec("pgserver") is None:
        assert "postgres" not in required, "--require=postgres: pgserver is not installed"
        pytest.skip("pgserver is not installed")
    folder = tmp_path_factory.mktemp("postgres")
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pgserver

    server = pgserver.get_server(folder / "data")

    def database(name: str) -> str:
        server.psql(f"create database {name}")
        return server.get_uri(name)

    yield database
    server.cleanup()


class _Lazy(dict):
    """Open an engine when a test first asks for it."""

    def __init__(self, opened: dict, make) -> None:
        super().__init__()
        self._opened, self._make = opened, make

    def __missing__(self, kind: str):
        if kind not in self._opened:
            self._opened[kind] = self._make(kind)
        return self._opened[kind]
