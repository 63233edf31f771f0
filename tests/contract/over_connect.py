"""The contracts of engines over Spark Connect, for a process that has no other Spark session."""

from __future__ import annotations

import os

import pytest

from lakemill.core.records import ClusterSpec
from lakemill.engines.frames import FRAME_ENGINES
from lakemill.engines.tasks import TASK_ENGINES
from lakemill.testing.frames import FrameEngineContract
from lakemill.testing.tasks import TaskEngineContract


def _opened(slot):
    spec = ClusterSpec(kind="spark", address=os.environ["CONNECT_ADDRESS"], cpus_per_worker=2)
    engine = slot.build({"kind": "spark", "spec": spec})
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def frames():
    yield from _opened(FRAME_ENGINES)


@pytest.fixture(scope="session")
def tasks():
    yield from _opened(TASK_ENGINES)


class TestFrames(FrameEngineContract):
    @pytest.fixture
    def engine(self, frames):
        return frames


class TestTasks(TaskEngineContract):
    @pytest.fixture
    def engine(self, tasks):
        return tasks
