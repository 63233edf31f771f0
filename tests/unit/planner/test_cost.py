"""The cost of one candidate against simulations and hand arithmetic."""

from __future__ import annotations

import math
from dataclasses import replace
from heapq import heapreplace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakemill.core.errors import ConfigError, UnsupportedError
from lakemill.core.planning import Cluster, Facts, Limits, NodeType, exact, within
from lakemill.parallel import SGD, DeepModel, Part
from lakemill.planner import DeepTraining, FeaturePipeline, TableModel
from lakemill.planner.cost import candidates, counts, home_of, makespan, ring_seconds
from lakemill.planner.search import broken
from tests.unit.planner.hardware import ACCELERATED, BIG, GIB, HERE, LANES, LOCAL, PROCESS, RAY, SMALL, SPARK, many


def simulated(durations: list[float], workers: int) -> float:
    """Workers that each take the largest task left as soon as they are free."""
    free = [0.0] * workers
    for duration in sorted(durations, reverse=True):
        heapreplace(free, free[0] + duration)
    return max(free)


def priced(facts, lane, cluster, *, nodes=1, workers=1):
    lanes = LANES if facts.lives_in else [lane]
    (found,) = [
        one
        for one in candidates(facts, lanes, [cluster])
        if (one.lane, one.nodes, one.workers) == (lane.kind, nodes, workers)
    ]
    return found


@given(st.integers(1, 400), st.integers(1, 40), st.floats(0.01, 100))
def test_equal_tasks_take_as_long_as_simulated(tasks, workers, seconds):
    predicted = makespan(exact(tasks * seconds), tasks, workers=workers, largest=exact(seconds))
    assert predicted.value == pytest.approx(simulated([seconds] * tasks, workers))


@given(st.integers(2, 300), st.integers(1, 40), st.floats(0.01, 100), st.floats(1, 200))
def test_one_large_task_among_equals_lies_within_the_bounds(tasks, workers, seconds, times):
    durations = [seconds * times, *([seconds] * (tasks - 1))]
    work = sum(durations)
    predicted = makespan(exact(work), tasks, workers=workers, largest=exact(durations[0]))
    measured = simulated(durations, workers)
    assert predicted.low * (1 - 1e-9) <= measured <= predicted.high * (1 + 1e-9)


def test_a_work_shared_out_by_hand():
    facts = many(320, 1.0, serial_seconds=exact(10.0), bytes=10**9)
    found = priced(facts, RAY, SMALL, nodes=4, workers=32)
    # 320 fits in 320 tasks of 5 ms more each, 10 rounds; the bytes pass the driver, three quarters of them the network
    assert found.parts.start == 127
    assert found.parts.serial == 10
    assert found.parts.moving == pytest.approx(2e-9 * 1e9 + 0.75 * 1e9 / 1.25e9)
    assert found.parts.parallel + found.parts.stragglers == pytest.approx(10 * 1.005)
    assert found.seconds.value == pytest.approx(127 + 10 + 2.6 + 10.05)
    assert found.money.value == pytest.approx(found.seconds.value * 4 * 0.4 / 3600)
    assert found.peak_bytes_per_process.value == pytest.approx(5e8)
    assert found.total_bytes.value == pytest.approx(1e9 + 32 * 5e8)


def test_the_largest_fit_holds_all_others_up():
    found = priced(many(100, 1.0, largest_share=0.6), LOCAL, SMALL, workers=8)
    assert found.parts.parallel + found.parts.stragglers == pytest.approx(60 + 1e-3)
    assert found.parts.stragglers > found.parts.parallel


def test_busy_cores_slow_each_other_down():
    slow = Cluster(node=replace(HERE.node, slowdown_per_busy_core=0.25))
    assert (
        priced(many(), LOCAL, slow, workers=1).parts.parallel == priced(many(), LOCAL, HERE, workers=1).parts.parallel
    )
    both = priced(many(), LOCAL, slow, workers=2).parts.parallel
    assert both == pytest.approx(4000 * 0.03 * 1.25 / 2 + 16 * 1e-3)


def test_a_lane_that_runs_already_starts_and_moves_nothing_and_leaving_it_costs_both_ways():
    facts = many(lives_in="spark", bytes=10**9)
    stays = priced(facts, SPARK, SMALL, nodes=2, workers=16)
    assert (stays.parts.start, stays.parts.moving, stays.complexity) == (120, 0, 0)
    leaves = priced(facts, LOCAL, SMALL, workers=8)
    assert leaves.parts.start == 122
    assert leaves.parts.moving == pytest.approx(3e-9 * 1e9)
    with pytest.raises(UnsupportedError, match="lives in spark, whose costs are not known; known: local"):
        list(candidates(facts, [LOCAL], [HERE]))


def test_memory_decides_how_many_workers_a_node_has():
    facts = many(peak_bytes_per_fit=within(6 * GIB, 0.2))
    most = max(one.workers / one.nodes for one in candidates(facts, [RAY], [SMALL]) if one.nodes > 1)
    assert most == 4
    for one in candidates(facts, [LOCAL], [SMALL]):
        held = one.workers * (0.3e9 + 6 * GIB)
        assert one.held_bytes.value == pytest.approx(held)
        assert (one.spare_bytes < 0) == (one.workers > 4)


def test_a_worker_that_is_held_to_less_than_it_needs_breaks_its_memory():
    """A worker needs 300 MB of its own, a fit 100 MB, known within a tenth and a fifth: 435 MB at most."""
    for allowed, breaks in ((400 * 10**6, ("memory",)), (440 * 10**6, ())):
        one = priced(many(allowed_bytes=allowed), PROCESS, HERE)
        assert broken(one, Limits()) == breaks
    assert one.memory_bytes == 440 * 10**6
    assert one.held_bytes.high == pytest.approx(400e6 + math.hypot(30e6, 20e6))


def test_a_limit_for_each_worker_leaves_room_for_fewer():
    found = candidates(many(allowed_bytes=5 * GIB), [LOCAL], [HERE])
    assert {one.workers for one in found} == {1}


def test_a_fit_too_large_for_an_accelerator_breaks_its_memory():
    facts = many(accelerator_bytes_per_fit=100 * GIB)
    found = priced(facts, RAY, ACCELERATED, workers=1)
    assert (found.held_bytes, found.memory_bytes) == (exact(100 * GIB), 80 * GIB)
    assert found.spare_bytes < 0


def test_accelerators_are_offered_by_nodes_that_have_them():
    facts = many(accelerator_bytes_per_fit=GIB)
    assert {one.node for one in candidates(facts, LANES, [SMALL, ACCELERATED])} == {"accelerated"}


def test_a_cluster_offers_its_lanes_only():
    spark_only = replace(SMALL, lanes=("spark",))
    assert {one.lane for one in candidates(many(), LANES, [spark_only])} == {"spark"}


def test_amdahl_holds_for_a_serial_share():
    model = TableModel(
        rows=1, bytes=1, core_seconds=exact(1000), peak_bytes=exact(1), serial_share=0.25, distributed="gangs"
    )
    found = priced(model, LOCAL, BIG, workers=64)
    work = found.parts.serial + found.parts.parallel
    assert work == pytest.approx(1000 * (0.25 + 0.75 / 64), rel=1e-3)


def test_a_shuffle_played_out():
    """Each of 4 nodes has a quarter and sends a quarter of it to each other node, all at the same time."""
    pipeline = FeaturePipeline(
        rows=1, bytes=0, core_seconds=exact(0), peak_bytes=exact(0), shuffled_bytes=4_000_000_000
    )
    found = priced(pipeline, SPARK, SMALL, nodes=4, workers=32)
    assert found.parts.communication == pytest.approx(sum([0.25e9] * 3) / 1.25e9)


@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_ring_seconds_sum_the_turns(ranks):
    turns = [4e9 / ranks / 1e9 + 0.5] * (2 * (ranks - 1))
    assert ring_seconds(4e9, ranks, bytes_per_second=1e9, latency_seconds=0.5) == pytest.approx(sum(turns))


def test_a_measured_ring_takes_the_place_of_memory_copies():
    model = TableModel(
        rows=1,
        bytes=1,
        core_seconds=exact(0),
        peak_bytes=exact(1),
        distributed="gangs",
        rounds=10,
        exchanged_bytes=10**8,
    )
    copied = priced(model, LOCAL, BIG, workers=4).parts.communication
    assert copied == pytest.approx(10 * 6 * (10**8 / 4 / 1e11))
    ring = Cluster(node=replace(BIG.node, ring_bytes_per_second=1e9, ring_latency_seconds=1e-3))
    assert priced(model, LOCAL, ring, workers=4).parts.communication == pytest.approx(10 * 6 * (10**8 / 4 / 1e9 + 1e-3))


def deep(**others):
    layer, outer = Part(parameters=1e9, flops_per_sample=1e13), Part(parameters=0, flops_per_sample=0)
    model = DeepModel(layers=4, heads=8, layer=layer, outer=outer, boundary_bytes_per_sample=1e6, precision=SGD)
    facts = {"samples": 10_000, "batch_samples": 64, "utilisation": exact(0.5), **others}
    return DeepTraining(rows=1, bytes=1, model=model, **facts)


def test_data_parallel_by_hand():
    (found,) = [one for one in candidates(deep(), [RAY], [ACCELERATED]) if one.cut == (("ddp", 16),) and one.nodes == 2]
    steps, flop, gradients = 157, 4 * 4e13, 4 * 1e9 * 4
    assert found.parts.parallel == pytest.approx(steps * flop / (3e14 * 0.5))
    assert found.parts.communication == pytest.approx(steps * 2 * 15 / 16 * gradients / 5e10)
    assert found.peak_bytes_per_process.value == pytest.approx(4e8 + 4e9 * 8)


def test_a_pipeline_waits_and_tensor_cuts_stay_in_a_node():
    found = list(candidates(deep(), [RAY], [ACCELERATED]))
    (piped,) = [one for one in found if one.cut == (("pipeline", 4),)]
    assert piped.parts.stragglers / (piped.parts.stragglers + piped.parts.parallel) == pytest.approx(3 / (64 + 3))
    assert piped.parts.parallel == pytest.approx(157 * 64 * 1e13 / (3e14 * 0.5))
    assert max(dict(one.cut).get("tensor", 1) for one in found) == 8
    assert not any(dict(one.cut).get("pipeline", 1) > 4 for one in found)


def test_groups_that_cross_the_border_of_a_node_together_share_its_network():
    """Eight gradient rings of two ranks each, one for each place in the tensor groups."""
    found = candidates(deep(batch_samples=2, samples=20), [RAY], [ACCELERATED])
    (cut,) = [one for one in found if one.nodes == 2 and one.cut == (("tensor", 8), ("ddp", 2))]
    inside = 2 * 7 / 8 * 4 * 4 * 1e6 / 3e11
    among = 2 * 1 / 2 * (16e9 / 8) / (5e10 / 8)
    assert cut.parts.communication == pytest.approx(10 * (inside + among))


def test_a_deep_model_needs_the_speed_of_the_node():
    with pytest.raises(ConfigError, match="here has no flop_per_second"):
        list(candidates(deep(), [PROCESS], [HERE]))
    measured = Cluster(node=replace(HERE.node, flop_per_second=1e11, memory_bytes=64 * GIB))
    (found,) = [one for one in candidates(deep(), [PROCESS], [measured]) if not one.cut]
    assert found.parts.parallel == pytest.approx(157 * 64 * 4e13 / 5e10)


def test_kinds_of_work_without_arithmetic_are_refused():
    with pytest.raises(UnsupportedError, match="no arithmetic for work of kind Facts"):
        list(candidates(Facts(rows=1, bytes=1), LANES, [HERE]))


@given(st.integers(1, 5000))
def test_counts_rise_to_the_most_in_small_steps(most):
    numbers = counts(most)
    assert (numbers[0], numbers[-1]) == (1, most)
    assert all(0 < after - before <= max(1, before / 4) for before, after in pairwise(numbers))


def test_node_without_memory_for_one_worker_is_still_a_candidate():
    tiny = Cluster(node=NodeType(name="tiny", cores=4, memory_bytes=GIB // 4))
    assert all(one.spare_bytes < 0 for one in candidates(many(), [LOCAL], [tiny]))


def test_a_faster_core_shortens_work_and_nothing_else():
    facts = many(1000, 2.0, serial_seconds=exact(30))
    twice = replace(SMALL, node=replace(SMALL.node, core_speed=exact(2.0)))
    plain, fast = (priced(facts, RAY, cluster, nodes=2, workers=16) for cluster in (SMALL, twice))
    assert fast.parts.start == plain.parts.start
    assert fast.parts.moving == plain.parts.moving
    assert fast.parts.serial == 15
    assert fast.parts.parallel == pytest.approx(plain.parts.parallel / 2)
    assert sum(getattr(fast.parts, part) for part in fast.parts.__slots__) == pytest.approx(fast.seconds.value)


def test_a_core_speed_that_nobody_knows_widens_the_interval():
    facts = many(1000, 2.0, bytes=0)
    vague = replace(SMALL, start_seconds=exact(0), node=replace(SMALL.node, core_speed=within(1.0, 0.5)))
    known = replace(vague, node=SMALL.node)
    plain, wide = (priced(facts, LOCAL, cluster, workers=8).seconds for cluster in (known, vague))
    assert wide.value == plain.value
    start = LOCAL.start_seconds.value
    assert wide.high - start == pytest.approx(2 * (plain.high - start), rel=0.05)
    assert wide.low - start == pytest.approx((plain.low - start) / 1.5, rel=0.05)


def test_nodes_that_stand_by_are_paid_as_well():
    fixed = replace(SMALL, min_nodes=4, max_nodes=4, driver_nodes=1)
    for nodes, workers in ((1, 8), (4, 32)):
        one = priced(many(), RAY, fixed, nodes=nodes, workers=workers)
        assert one.money.value == pytest.approx(one.seconds.value / 3600 * 5 * 0.4)
    growing = replace(fixed, min_nodes=2)
    one = priced(many(), RAY, growing, nodes=3, workers=24)
    assert one.money.value == pytest.approx(one.seconds.value / 3600 * 4 * 0.4)


def pipeline(core_seconds: float, **others) -> FeaturePipeline:
    figures = {"rows": 10**6, "bytes": 10**9, "peak_bytes": exact(GIB), **others}
    return FeaturePipeline(core_seconds=within(core_seconds, 0.1), **figures)


def test_a_lane_s_factor_and_its_error_go_into_the_work():
    slow = replace(LOCAL, work_factor=within(5, 0.4), start_seconds=exact(0), seconds_per_task=exact(0))
    found = priced(pipeline(100), slow, HERE, workers=1)
    assert found.seconds.value == pytest.approx(500)
    assert (found.seconds.low, found.seconds.high) == pytest.approx((90 * 3, 110 * 7))


def test_work_that_divides_at_will_has_no_last_piece():
    found = priced(pipeline(100), replace(LOCAL, start_seconds=exact(0), seconds_per_task=exact(0)), HERE, workers=2)
    assert found.seconds.value == pytest.approx(50)
    assert 55 <= found.seconds.high < 55 * 1.05


def test_each_join_of_a_pipeline_is_a_task_to_every_worker():
    lane = replace(LOCAL, seconds_per_task=exact(3))
    one, four = (priced(pipeline(100, joins=joins), lane, HERE, workers=2).seconds.value for joins in (1, 4))
    assert four - one == pytest.approx(3 * 3)


def test_what_memory_has_no_room_for_goes_to_disk_and_back():
    node = NodeType(name="n", cores=2, memory_bytes=8 * GIB, disk_bytes_per_second=float(GIB))
    facts, bare = (
        pipeline(100, peak_bytes=exact(28 * GIB)),
        replace(LOCAL, worker_bytes=exact(0), driver_bytes=exact(GIB)),
    )
    killed = priced(facts, bare, Cluster(node=node), workers=2)
    spilled = priced(facts, replace(bare, spills=True), Cluster(node=node), workers=2)
    assert killed.spare_bytes == (8 - 29) * GIB
    assert (spilled.held_bytes, spilled.spare_bytes) == (exact(8 * GIB), 0)
    assert spilled.seconds.value - killed.seconds.value == pytest.approx(2 * 21)  # 28 GiB, room for 7


def test_a_lane_that_spills_takes_no_longer_where_memory_does():
    roomy = pipeline(100)
    assert priced(roomy, replace(LOCAL, spills=True), HERE, workers=2) == priced(roomy, LOCAL, HERE, workers=2)


def test_threads_are_one_process_with_all_that_they_hold():
    lane = replace(LOCAL, driver_bytes=exact(GIB), worker_bytes=exact(0), threads=True)
    found = priced(pipeline(100, peak_bytes=exact(4 * GIB)), lane, HERE, workers=2)
    assert found.peak_bytes_per_process == found.total_bytes == exact(5 * GIB)


def test_a_kind_with_two_lanes_lives_in_the_one_that_can_do_the_work():
    tasks = replace(SPARK, abilities=("tasks",), seconds_per_byte=exact(1))
    home = home_of(pipeline(1, lives_in="spark"), [tasks, replace(SPARK, abilities=("frames",))])
    assert home is not None
    assert home.abilities == ("frames",)
