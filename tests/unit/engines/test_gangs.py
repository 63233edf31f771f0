from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from lakemill.core.errors import ConfigError, TaskError
from lakemill.core.records import Resources
from lakemill.engines.gangs import GANG_ENGINES


@pytest.fixture
def gang():
    return GANG_ENGINES.build({"kind": "local"})


def sum_over_ranks(rank: int) -> int:
    """All-reduce by hand: rank 0 listens at the master's address, the others send their rank."""
    address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    size = int(os.environ["WORLD_SIZE"])
    if rank == 0:
        with socket.create_server(address) as server:
            peers = [server.accept()[0] for _ in range(size - 1)]
            total = sum(int.from_bytes(peer.recv(4), "big") for peer in peers)
            for peer in peers:
                peer.sendall(total.to_bytes(4, "big"))
                peer.close()
        return total
    for _ in range(100):
        try:
            with socket.create_connection(address) as connection:
                connection.sendall(rank.to_bytes(4, "big"))
                return int.from_bytes(connection.recv(4), "big")
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise TimeoutError


def test_ranks_start_together_and_find_each_other(gang):
    assert gang.run(sum_over_ranks, 3, each=Resources()) == (3, 3, 3)


def test_one_dead_rank_ends_the_gang(gang):
    def die(rank: int) -> None:
        if rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(300)

    started = time.monotonic()
    with pytest.raises(TaskError, match="rank 1 of 3 failed: the worker process died of SIGKILL"):
        gang.run(die, 3, each=Resources())
    assert time.monotonic() - started < 60


def test_the_whole_gang_starts_again(gang, tmp_path: Path):
    def fail_once(rank: int) -> int:
        with (tmp_path / f"rank-{rank}").open("a") as file:
            file.write("x")
        if rank == 0 and (tmp_path / "rank-0").stat().st_size == 1:
            raise ValueError("first time")
        return rank

    assert gang.run(fail_once, 2, each=Resources(), max_restarts=1) == (0, 1)
    assert (tmp_path / "rank-0").read_text() == "xx"


def test_a_gang_has_a_rank(gang):
    with pytest.raises(ConfigError, match="num_ranks=0"):
        gang.run(print, 0, each=Resources())
