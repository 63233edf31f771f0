from __future__ import annotations

from collections.abc import Iterator

import pytest

from lakemill.core.records import Context
from lakemill.workspace import Workspace
from lakemill.workspace.settings import WorkspaceSettings


@pytest.fixture
def ws(tmp_path) -> Iterator[Workspace]:
    settings = WorkspaceSettings.in_folder("test", tmp_path)
    with Workspace(settings, context=Context(user="ann", run_id="run-1", task_key="train")) as workspace:
        yield workspace


@pytest.fixture
def rows(ws):
    """Return the rows of a frame, as sorted tuples."""

    def read(frame) -> list[tuple]:
        table = ws.frames.to_arrow(frame).read_all()
        return sorted((tuple(row.values()) for row in table.to_pylist()), key=repr)

    return read
