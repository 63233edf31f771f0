"""What the ranks of a gang on this machine take to add up their numbers: a ring all-reduce, measured over gloo."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import replace
from importlib.util import find_spec
from typing import Final

from lakemill.core.errors import MissingExtraError
from lakemill.core.planning import NodeType
from lakemill.core.records import Resources
from lakemill.engines.gangs import GANG_ENGINES

MOST_RANKS: Final = 8
ROUNDS: Final = 25
LARGE_BYTES: Final = 2**25


def measure_ring(node: NodeType) -> NodeType:
    """Return the node with the bandwidth and latency of an all-reduce among its cores.

    A ring of n ranks passes ``2(n-1)`` messages, each a share ``1/n`` of the payload. A payload of one number
    gives the latency of a message, a large one its bandwidth. A node with one core stays as it is.

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    TaskError
        If the ranks don't find each other.

    References
    ----------
    Patarasu, Yuan (2009), Bandwidth optimal all-reduce algorithms for clusters of workstations, JPDC 69(2).
    """
    if find_spec("torch") is None:
        raise MissingExtraError(
            "not measured: it needs torch, which is not installed", hint="pip install 'lakemill[torch]'"
        )
    ranks = min(node.cores, MOST_RANKS)
    if ranks == 1:
        return node
    gang = GANG_ENGINES.build({"kind": "local"})
    small, large = max(gang.run(_seconds, ranks, each=Resources()))
    messages = 2 * (ranks - 1)
    moving = max(large - small, small) / messages
    return replace(node, ring_bytes_per_second=LARGE_BYTES / ranks / moving, ring_latency_seconds=small / messages)


def _seconds(_rank: int) -> tuple[float, float]:
    """Return what an all-reduce of one number takes, and one of many."""
    import torch
    from torch import distributed

    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the name of a host need not resolve to it
    distributed.init_process_group("gloo")
    small, large = (_typical_seconds(torch.ones(bytes_ // 4)) for bytes_ in (4, LARGE_BYTES))
    distributed.destroy_process_group()
    return small, large


def _typical_seconds(numbers: object) -> float:
    from torch import distributed

    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        distributed.all_reduce(numbers)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)
