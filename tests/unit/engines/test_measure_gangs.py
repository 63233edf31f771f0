"""The ring of this machine, against another all-reduce than those it was measured with."""

from __future__ import annotations

import sys
import time

import pytest

from lakemill.core.errors import MissingExtraError
from lakemill.core.planning import NodeType
from lakemill.core.records import Resources
from lakemill.engines.gangs import GANG_ENGINES
from lakemill.engines.measure_gangs import measure_ring
from lakemill.planner.cost import ring_seconds

NODE = NodeType(name="this machine", cores=2, memory_bytes=2**33)


def summed(payload_bytes: int) -> tuple[float, float]:
    """The least seconds of an all-reduce of ones, and what each number became."""

    def rank(_rank: int) -> tuple[float, float]:
        import torch
        from torch import distributed

        distributed.init_process_group("gloo")
        taken, numbers = [], torch.ones(payload_bytes // 4)
        for _ in range(5):
            numbers.fill_(1.0)
            started = time.perf_counter()
            distributed.all_reduce(numbers)
            taken.append(time.perf_counter() - started)
        distributed.destroy_process_group()
        return min(taken), float(numbers.mean())

    return GANG_ENGINES.build({"kind": "local"}).run(rank, 2, each=Resources())[0]


def test_the_ring_predicts_an_all_reduce_of_another_size():
    node = measure_ring(NODE)
    seconds, number = summed(3 * 2**23)
    assert number == 2.0
    assert 0 < node.ring_latency_seconds < 0.01
    predicted = ring_seconds(
        3 * 2**23, 2, bytes_per_second=node.ring_bytes_per_second, latency_seconds=node.ring_latency_seconds
    )
    assert seconds / 5 < predicted < seconds * 5  # a machine at work is not steady


def test_one_core_has_no_ring():
    alone = NodeType(name="alone", cores=1, memory_bytes=2**33)
    assert measure_ring(alone) == alone


def test_without_torch_it_is_not_measured(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"needs torch[\s\S]*pip install 'lakemill\[torch\]'"):
        measure_ring(NODE)
