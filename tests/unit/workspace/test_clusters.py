"""Which clusters a plan may use, and what lanes cost there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lakemill.core.errors import ConfigError
from lakemill.core.planning import Cluster, NodeType
from lakemill.engines.assumed import KINDS, assumed_lanes
from lakemill.engines.frames import FRAME_ENGINES
from lakemill.engines.tasks import TASK_ENGINES
from lakemill.planner import plan
from lakemill.workspace.clusters import at_hand, lanes_on
from tests.unit.planner.hardware import many
from tests.unit.workspace.test_hardware import HARDWARE

NODE = NodeType(name="node", cores=16, memory_bytes=2**36)
PROD = Cluster(name="prod", node=NODE, max_nodes=4, lanes=("ray",))
ANY = Cluster(name="any", node=NODE)


def test_all_clusters_are_at_hand_unless_some_are_named():
    def names(*asked: str) -> list[str]:
        return [cluster.name for cluster in at_hand([PROD, ANY], HARDWARE, names=asked)]

    assert names() == ["this machine", "prod", "any"]
    assert names("any", "here", "any") == ["any", "this machine"]
    with pytest.raises(ConfigError, match="no cluster 'prdo'; did you mean prod"):
        names("prdo")


def test_what_passes_between_processes_of_a_node_is_as_fast_as_here():
    ours = replace(HARDWARE, node=replace(HARDWARE.node, memory_bytes_per_second=4e9, ring_bytes_per_second=2e8))
    here, prod = (cluster.node for cluster in at_hand([PROD], ours))
    assert (prod.memory_bytes_per_second, prod.ring_bytes_per_second) == (4e9, 2e8)
    assert replace(prod, memory_bytes_per_second=1e10, ring_bytes_per_second=0.0) == NODE
    assert here == ours.node


def test_an_engine_that_is_not_here_is_assumed_there_and_nowhere_else():
    clusters = at_hand([PROD], HARDWARE)
    made = plan(many(), lanes=lanes_on(clusters, HARDWARE), clusters=clusters)
    assert {(one.lane, one.cluster) for one in made.candidates} == {("local", "this machine"), ("ray", "prod")}
    assert made.assumed == ("costs of ray",)
    assert any(reason == "assumed, not measured: costs of ray" for reason in made.reasons)


def test_what_is_measured_here_is_taken_everywhere():
    assert lanes_on([ANY], HARDWARE) == HARDWARE.lanes


def test_an_engine_that_nobody_knows_is_told():
    with pytest.raises(ConfigError, match="nobody knows what engine 'dask' costs; assumed are local, ray, spark"):
        lanes_on([Cluster(node=NODE, lanes=("dask",))], HARDWARE)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_assumed_of_an_engine_agrees_with_it(kind):
    engine, (lane, *frames) = TASK_ENGINES.load(kind), assumed_lanes(kind)
    assert set(lane.abilities) == set(engine.abilities)
    assert [one.abilities for one in frames] == [("frames",)] * (kind in FRAME_ENGINES.kinds())
    assert (lane.spans_nodes, lane.extra, lane.assumed) == (engine.spans_nodes, engine.extra, True)
