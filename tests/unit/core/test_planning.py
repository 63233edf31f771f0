"""Records of a plan refuse what can't be, and intervals add up."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakemill.core.errors import ConfigError
from lakemill.core.planning import Cluster, Facts, Interval, LaneCost, NodeType, exact, total, within

intervals = st.builds(
    lambda value, below, above: Interval(value=value, low=value * below, high=value * above),
    st.floats(0, 1e9),
    st.floats(0, 1),
    st.floats(1, 5),
)


@pytest.mark.parametrize(
    ("value", "low", "high"), [(1, 2, 3), (3, 1, 2), (1, -1, 2), (1, 1, float("inf")), (float("nan"), 0, 1)]
)
def test_bounds_hold_their_value(value, low, high):
    with pytest.raises(ConfigError, match="0 <= low <= value <= high"):
        Interval(value=value, low=low, high=high)


@given(st.lists(intervals, max_size=6))
def test_sums_are_narrower_than_the_sums_of_bounds(parts):
    added = total(parts)
    assert added.value == pytest.approx(sum(part.value for part in parts))
    assert added.low >= sum(part.low for part in parts) * (1 - 1e-9) - 1e-6
    assert added.high <= sum(part.high for part in parts) * (1 + 1e-9) + 1e-6


def test_nine_of_ten_sums_of_independent_figures_lie_within():
    """1.645 standard deviations either way hold 90 % of a normal distribution."""
    dice, parts = random.Random(1), [within(100, 0.1), within(40, 0.5), within(200, 0.02)]
    added = total(parts)
    sums = [sum(dice.gauss(part.value, (part.high - part.value) / 1.645) for part in parts) for _ in range(20_000)]
    inside = statistics.mean(added.low <= one <= added.high for one in sums)
    assert inside == pytest.approx(0.9, abs=0.01)


@given(intervals, st.floats(0, 1e3), st.floats(0.01, 1))
def test_scaling_and_dividing(figure, factor, share):
    assert (figure * factor).high == figure.high * factor
    halves = figure.over(Interval(value=share, low=share / 2, high=share * 2))
    assert (halves.low, halves.value, halves.high) == pytest.approx(
        (figure.low / share / 2, figure.value / share, figure.high / share * 2)
    )


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"cores": 0}, "cores of NodeType must be 1 or more, got 0"),
        ({"memory_bytes": 0}, "memory_bytes of NodeType must be 1 or more"),
        ({"accelerators": 2}, "accelerator_memory_bytes of NodeType must be 1 or more"),
        ({"price_per_hour": -1.0}, "price_per_hour of NodeType must be 0 or more"),
        ({"network_bytes_per_second": float("inf")}, "network_bytes_per_second of NodeType"),
        ({"core_speed": within(1.0, 1.0)}, "core_speed of NodeType must be above 0"),
    ],
)
def test_impossible_nodes_are_refused(wrong, named):
    with pytest.raises(ConfigError, match=named):
        NodeType(**{"name": "n", "cores": 1, "memory_bytes": 1, **wrong})


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"max_nodes": 0}, "max_nodes of Cluster must be 1 or more, got 0"),
        ({"min_nodes": 3, "max_nodes": 2}, "min_nodes of Cluster must be from 1 to 2, got 3"),
        ({"driver_nodes": -1}, "driver_nodes of Cluster must be 0 or more, got -1"),
    ],
)
def test_a_cluster_has_nodes(wrong, named):
    with pytest.raises(ConfigError, match=named):
        Cluster(node=NodeType(name="n", cores=1, memory_bytes=1), **wrong)


def test_a_cluster_is_called_as_its_node_type_unless_it_has_a_name():
    node = NodeType(name="n", cores=1, memory_bytes=1)
    assert (Cluster(node=node).name, Cluster(node=node, name="prod").name) == ("n", "prod")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"abilities": ("task",)}, "unknown ability 'task'.*\n.*did you mean tasks"),
        ({"one_worker": True, "spans_nodes": True}, "one worker and spans nodes"),
        ({"work_factor": exact(0)}, "work_factor and ratios of lane dask must be above 0"),
    ],
)
def test_lanes_that_contradict_themselves_are_refused(wrong, named):
    with pytest.raises(ConfigError, match=named):
        LaneCost(**{"kind": "dask", "abilities": ("tasks",), **wrong})


def test_moving_parts_count_what_there_is_to_a_lane():
    alone = LaneCost(kind="process", abilities=(), one_worker=True)
    pool = LaneCost(kind="local", abilities=())
    ray = LaneCost(kind="ray", abilities=(), spans_nodes=True, extra="ray")
    assert [lane.moving_parts for lane in (alone, pool, ray)] == [0, 1, 3]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"rows": -1}, "rows of Facts must be 0 or more"),
        ({"sources": (("row", "probe"),)}, "unknown field 'row'.*\n.*did you mean rows"),
        ({"sources": (("rows", "guess"),)}, "unknown source 'guess'"),
    ],
)
def test_impossible_facts_are_refused(wrong, named):
    with pytest.raises(ConfigError, match=named):
        Facts(**{"rows": 1, "bytes": 1, **wrong})


def test_exact_is_exact():
    assert exact(2.0) == Interval(value=2.0, low=2.0, high=2.0)
