"""Ranks as child processes of this machine."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import cloudpickle

from lakemill.core.errors import ConfigError, TaskError
from lakemill.core.records import Resources
from lakemill.engines.gangs.base import GangEngine
from lakemill.engines.process import Attempt, Call, Limits, Reply, Worker, freeze


class LocalGangs(GangEngine):
    """One child process per rank, on the loopback address."""

    kind = "local"

    def run(
        self, fn: Callable[[int], Any], num_ranks: int, *, each: Resources, max_restarts: int = 0
    ) -> tuple[Any, ...]:
        """Run ``fn(rank)`` on every rank; see `GangEngine.run`.

        Raises
        ------
        ConfigError
            If there is not at least one rank.
        TaskError
            If a rank failed and no restart is left.
        """
        if num_ranks < 1:
            raise ConfigError(f"a gang needs at least 1 rank, got num_ranks={num_ranks}")
        fault = ""
        for _ in range(max_restarts + 1):
            replies, fault = _start(freeze(_ignoring_attempt(fn)), num_ranks, each)
            if not fault:
                return tuple(pickle.loads(reply.value) for reply in replies)
        raise TaskError(f"{fault}; the other ranks were ended", hint=f"restarts used: {max_restarts}")


def _ignoring_attempt(fn: Callable[[int], Any]) -> Callable[[int, Attempt], Any]:
    return lambda rank, _attempt: fn(rank)


def _start(function: bytes, num_ranks: int, each: Resources) -> tuple[Sequence[Reply], str]:
    """Run one generation of the gang; the text says which rank failed first, and why."""
    port, limits = _free_port(), Limits(threads=each.threads, memory_bytes=each.memory_bytes)
    workers = [Worker(limits, _environment(rank, num_ranks, port)) for rank in range(num_ranks)]
    with ThreadPoolExecutor(num_ranks) as threads:
        futures = [threads.submit(_run_rank, worker, function, rank) for rank, worker in enumerate(workers)]
        fault = _first_fault(futures)
        if fault:
            for worker in workers:
                worker.retire()
    return [] if fault else [future.result() for future in futures], fault


def _run_rank(worker: Worker, function: bytes, rank: int) -> Reply:
    with worker:
        return worker.call(Call(function=function, payload=cloudpickle.dumps(rank)))


def _first_fault(futures: Sequence[Future[Reply]]) -> str:
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            reply = future.result()
            if reason := reply.failure or reply.loss:
                return f"rank {futures.index(future)} of {len(futures)} failed: {reason.message}"
    return ""


def _environment(rank: int, num_ranks: int, port: int) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(num_ranks),
        "LOCAL_WORLD_SIZE": str(num_ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
