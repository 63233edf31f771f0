"""Every kind of task engine keeps the contract."""

from __future__ import annotations

import pytest

from lakemill.engines.tasks import TASK_ENGINES
from lakemill.testing.tasks import TaskEngineContract


@pytest.mark.parametrize("kind", TASK_ENGINES.kinds())
class TestTaskEngines(TaskEngineContract):
    @pytest.fixture
    def engine(self, kind, task_engines):
        return task_engines[kind]
