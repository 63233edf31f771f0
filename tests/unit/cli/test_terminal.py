"""The drawing on a real pseudo-terminal, read back by a small screen."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import sys
import textwrap
from fcntl import ioctl
from termios import TIOCSWINSZ

import pytest

WIDTH, HEIGHT = 90, 24

STORY = """
import os, subprocess, sys, time
from lakemill.cli.progress import watch
from lakemill.core.events import Event

with watch(["ingest", "train"]) as emit:
    emit(Event(kind="start", stage="ingest"))
    child = subprocess.Popen(["sh", "-c", "for i in 1 2 3 4; do echo child $i >&2; sleep 0.4; done; printf unfinished"])
    for done in range(20):
        emit(Event(kind="progress", stage="ingest", done=done, total=20, unit="rows"))
        time.sleep(0.06)
    print("print of ours")
    print("50%\\r100%", file=sys.stderr)
    emit(Event(kind="note", stage="ingest", text="a note [red]"))
    child.wait()
    emit(Event(kind="end", stage="ingest", text="20 rows"))
    emit(Event(kind="start", stage="train"))
    time.sleep(0.3)
    {last}
print("the end")
"""


class Screen:
    """What a terminal would show: it knows line feeds, returns, moves up and erased lines."""

    def __init__(self) -> None:
        self.lines = [""]
        self.row = self.column = 0
        self.hidden = False

    def feed(self, text: str) -> None:
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", text):
            self._take(part)

    def _take(self, part: str) -> None:
        if part == "\n":
            self.row += 1
            self.lines += [""] * (self.row + 1 - len(self.lines))
        elif part == "\r":
            self.column = 0
        elif not part.startswith("\x1b"):
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + part + line[self.column + len(part) :]
            self.column += len(part)
            assert self.column <= WIDTH, "a line that wraps breaks the drawing"
        elif part.endswith("A"):
            self.row -= int(part[2:-1] or 1)
        elif part == "\x1b[2K":
            self.lines[self.row] = ""
        elif part in {"\x1b[?25l", "\x1b[?25h"}:
            self.hidden = part.endswith("l")
        else:
            assert part.endswith("m"), part


def play(story: str) -> tuple[Screen, str, int]:
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(story)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(theirs)
    raw = b""
    while chunk := _read(ours):
        raw += chunk
    os.close(ours)
    screen, text = Screen(), raw.decode()
    screen.feed(text)
    return screen, text, process.wait()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # the other end is closed
        return b""


@pytest.fixture(scope="module")
def told() -> tuple[Screen, str, int]:
    return play(STORY.format(last="pass"))


def test_what_others_write_stands_above_the_drawing_and_the_drawing_goes(told):
    screen, _, code = told
    assert code == 0
    assert not screen.hidden
    lines = [line.rstrip() for line in screen.lines if line.strip()]
    others = {"child 1", "child 2", "child 3", "child 4", "print of ours", "100%", "ingest: a note [red]", "unfinished"}
    assert (set(lines[:-1]), len(lines), lines[-1]) == (others, len(others) + 1, "the end")


def test_the_drawing_moves(told):
    _, text, _ = told
    assert "ingest" in text
    assert "of 20 rows" in text
    assert "20 rows" in text
    assert len(set(re.findall(r"(\d+)% ", text))) > 3


def test_an_error_leaves_the_terminal_as_it_was():
    screen, _, code = play(STORY.format(last="raise SystemExit(5)"))
    assert code == 5
    assert not screen.hidden
    assert not any("train" in line for line in screen.lines)
