"""Choose how to show progress: a drawing on a terminal, lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lakemill.cli.progress.board import Board
from lakemill.cli.progress.lines import Lines
from lakemill.core.events import Emit


@contextmanager
def watch(tasks: Sequence[str]) -> Iterator[Emit]:
    """Show progress on standard error for as long as the block runs.

    Parameters
    ----------
    tasks
        Keys of the tasks to come, in their order.
    """
    board = Board(tasks)
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield Lines(board, sys.stderr)
        return
    from lakemill.cli.progress.capture import captured
    from lakemill.cli.progress.live import Drawing, Terminal

    with os.fdopen(os.dup(2), "w") as stream, Drawing(board, Terminal(stream)) as drawing, captured(drawing.say):
        yield drawing
