"""Every kind of frame engine keeps the contract."""

from __future__ import annotations

import pytest

from lakemill.catalog import Catalog
from lakemill.core.records import Context
from lakemill.engines.frames import FRAME_ENGINES
from lakemill.metadata import Database
from lakemill.testing.frames import FrameEngineContract


@pytest.fixture
def catalog(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/metadata.db")
    yield Catalog(root=str(tmp_path / "a bé {c} *" / "tables"), database=database, context=Context(user="test"))
    database.close()


@pytest.mark.parametrize("kind", FRAME_ENGINES.kinds())
class TestFrameEngines(FrameEngineContract):
    @pytest.fixture
    def engine(self, kind, frame_engines):
        return frame_engines[kind]
