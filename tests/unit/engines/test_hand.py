from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from lakemill.engines.process.hand import MAX_NAME_BYTES, SIZE, Hand, short

WRITER = """
import itertools, sys
from lakemill.engines.process.hand import Hand
hand = Hand(int(sys.argv[1]))
for number in itertools.count(1):
    hand.take(str(number) * (1 + number % 100))
"""


@pytest.fixture
def file():
    with tempfile.TemporaryFile() as file:
        file.truncate(SIZE)
        yield file.fileno()


def test_the_last_item_is_in_hand(file):
    writer, reader = Hand(file), Hand(file)
    assert reader.look() == (0, "")
    for number, item in enumerate(["a", "", "é" * (MAX_NAME_BYTES // 2), '["b"]'], start=1):
        writer.take(item)
        assert reader.look() == (number, item)


def test_what_is_read_is_whole_while_it_is_written_and_after_a_kill(file):
    reader = Hand(file)
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(file)], pass_fds=[file])
    try:
        seen, end = set(), time.monotonic() + 60
        while len(seen) < 2_000 and time.monotonic() < end:
            seen.add(reader.look())
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    seen.add(reader.look())
    assert len(seen) >= 2_000
    assert all(item == str(number) * (1 + number % 100) for number, item in seen if number)


def test_a_long_name_is_told_by_its_hash():
    names = ["a" * 5_000, "a" * 5_001, "é" * MAX_NAME_BYTES, "\udc80" * MAX_NAME_BYTES]
    assert len({short(name) for name in names}) == 4
    assert all(len(short(name).encode()) <= MAX_NAME_BYTES for name in [*names, "b" * MAX_NAME_BYTES, "\udc80"])
    assert short("b" * MAX_NAME_BYTES) == "b" * MAX_NAME_BYTES
