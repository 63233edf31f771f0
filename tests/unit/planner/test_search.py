"""The choice against exhaustive enumeration, and what must not change it."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from lakemill.core.errors import ConfigError, UnsupportedError
from lakemill.core.planning import Cluster, Limits, NodeType, Plan, exact
from lakemill.core.records import content_hash, to_json
from lakemill.planner import Search, plan
from lakemill.planner.cost import candidates
from lakemill.planner.explain import grown
from lakemill.planner.search import choose, weigh
from tests.unit.planner.hardware import BIG, GIB, HERE, LANES, LOCAL, PROCESS, RAY, SMALL, SPARK, many

works = st.builds(
    many,
    st.integers(1, 20_000),
    st.floats(0.001, 20),
    bytes=st.integers(0, 10**10),
    peak_bytes_per_fit=st.floats(1e7, 3e9).map(exact),
)
skewed = st.builds(
    lambda facts, share: replace(facts, largest_share=max(share, 1 / facts.fits)), works, st.floats(0, 1)
)
limits = st.builds(
    Limits,
    deadline_seconds=st.none() | st.floats(1, 20_000),
    budget=st.none() | st.floats(0, 20),
    aim=st.sampled_from(["simplest", "fastest", "cheapest"]),
)
CLUSTERS = (HERE, SMALL, BIG)


FEW = (HERE, replace(SMALL, max_nodes=4))


def laid_out(facts):
    """Every number of nodes and of workers on each, one by one."""
    return [
        one
        for cluster in FEW
        for nodes in range(1, cluster.max_nodes + 1)
        for cores in range(1, cluster.node.cores + 1)
        for one in candidates(
            facts, LANES, [replace(cluster, node=replace(cluster.node, cores=cores), max_nodes=nodes)]
        )
        if one.nodes == nodes and one.spare_bytes >= 0
    ]


def full(one, others):
    """Whether no other has more workers on as many nodes, where there is more than one."""
    same = [other for other in others if (other.lane, other.node, other.nodes) == (one.lane, one.node, one.nodes)]
    return one.nodes == 1 or one.workers == max(other.workers for other in same)


@settings(max_examples=50, deadline=None)
@given(works | skewed)
def test_full_nodes_are_as_fast_as_any(facts):
    every = laid_out(facts)
    best = min(one.seconds.value for one in every)
    assert min(one.seconds.value for one in every if full(one, every)) <= 1.01 * best


@settings(max_examples=50, deadline=None)
@given(works | skewed, limits)
def test_the_choice_is_the_simplest_near_the_best_of_all(facts, bounds):
    """The rule in full, applied to all sizes on one node and to all numbers of full nodes."""
    choice, every = choose(weigh(facts, lanes=LANES, clusters=FEW, limits=bounds), bounds), laid_out(facts)
    allowed = [
        one
        for one in every
        if full(one, every)
        and one.seconds.value <= (bounds.deadline_seconds or 1e18)
        and one.money.value <= (1e18 if bounds.budget is None else bounds.budget)
    ]
    assert (choice is None) == (not allowed)
    if choice is not None:
        aim = (lambda one: one.money.value) if bounds.aim == "cheapest" else (lambda one: one.seconds.value)
        most = min(map(aim, allowed)) * (1.0 if bounds.aim == "fastest" else 1.1)
        assert aim(choice) <= most * (1 + 1e-9)
        parts = {"process": 0, "local": 1, "ray": 3, "spark": 3}
        near = [(parts[one.lane], one.nodes) for one in allowed if aim(one) <= most * (1 - 1e-9)]
        assert (parts[choice.lane], choice.nodes) <= min(near, default=(9, 9))


@settings(max_examples=50, deadline=None)
@given(works | skewed, st.integers(1, 4), st.floats(1, 3))
def test_more_work_never_takes_less_time(facts, times, slower):
    larger = replace(
        facts, fits=facts.fits * times, bytes=facts.bytes * times, seconds_per_fit=facts.seconds_per_fit * slower
    )
    before, after = (
        {(one.lane, one.node, one.nodes, one.workers): one.seconds for one in candidates(work, LANES, CLUSTERS)}
        for work in (facts, larger)
    )
    common = before.keys() & after.keys()
    assert common
    for key in common:
        assert after[key].value >= before[key].value * (1 - 1e-9)


@settings(max_examples=50, deadline=None)
@given(works, st.floats(1, 2000), st.floats(0.1, 1), st.sampled_from(["simplest", "fastest"]))
def test_a_tighter_deadline_never_yields_a_slower_choice(facts, deadline, share, aim):
    loose, tight = (Limits(deadline_seconds=seconds, aim=aim) for seconds in (deadline, deadline * share))
    chosen = [choose(weigh(facts, lanes=LANES, clusters=CLUSTERS, limits=bounds), bounds) for bounds in (loose, tight)]
    if chosen[1] is not None:
        assert chosen[1].seconds.value <= chosen[0].seconds.value


@settings(max_examples=50, deadline=None)
@given(works | skewed, limits, st.randoms(use_true_random=False))
def test_order_makes_no_difference(facts, bounds, dice: random.Random):
    lanes, clusters = list(LANES), list(CLUSTERS)
    found = weigh(facts, lanes=lanes, clusters=clusters, limits=bounds)
    dice.shuffle(lanes)
    dice.shuffle(clusters)
    assert weigh(facts, lanes=lanes, clusters=clusters, limits=bounds) == found
    assert choose(dice.sample(found, len(found)), bounds) == choose(found, bounds)


def test_more_nodes_are_not_the_default():
    answer = plan(many(1000, 0.5), lanes=LANES, clusters=[BIG, replace(SMALL, node=replace(SMALL.node, cores=64))])
    assert answer.choice.nodes == 1
    fastest = plan(
        many(400_000, 0.5),
        lanes=LANES,
        clusters=[BIG, replace(SMALL, node=replace(SMALL.node, cores=64))],
        limits=Limits(aim="fastest"),
    )
    assert fastest.choice.nodes == 8


def test_fewer_moving_parts_win_over_a_second():
    quick = replace(RAY, start_seconds=exact(1.5), seconds_per_task=exact(0), seconds_per_byte=exact(0))
    simplest, fastest = (
        plan(many(), lanes=[quick, LOCAL], clusters=[HERE], limits=Limits(aim=aim)).choice
        for aim in ("simplest", "fastest")
    )
    assert (simplest.lane, fastest.lane) == ("local", "ray")
    assert fastest.seconds.value < simplest.seconds.value < 1.1 * fastest.seconds.value


def test_one_node_wins_over_as_many_workers_on_two_cheaper_ones():
    tiny = NodeType(name="tiny", cores=2, memory_bytes=8 * GIB, price_per_hour=0.01)
    two = Cluster(node=tiny, max_nodes=2, start_seconds=BIG.start_seconds)
    answer = plan(many(40, 1.0), lanes=[RAY], clusters=[BIG, two])
    assert (answer.choice.node, answer.choice.workers) == ("big", 4)
    (cheaper,) = [one for one in answer.candidates if one.node == "tiny" and one.nodes == 2]
    assert (cheaper.workers, cheaper.money.value < answer.choice.money.value) == (4, True)
    assert cheaper.seconds.value <= 1.1 * answer.candidates[0].seconds.value


def test_leaving_the_workflow_is_not_simpler_than_staying():
    facts = many(8, 0.001, serial_seconds=exact(100), lives_in="spark")
    assert plan(facts, lanes=LANES, clusters=[SMALL]).choice.lane == "spark"
    assert plan(replace(facts, lives_in=""), lanes=LANES, clusters=[SMALL]).choice.lane == "process"


def test_the_cheapest_may_be_slower():
    facts = many(40_000, 0.5)
    fast, cheap = (
        plan(facts, lanes=LANES, clusters=[HERE, SMALL], limits=Limits(aim=aim)).choice
        for aim in ("fastest", "cheapest")
    )
    assert (cheap.node, cheap.money.value) == ("here", 0)
    assert fast.seconds.value < cheap.seconds.value


def test_memory_must_do_at_its_upper_bound():
    facts = many(peak_bytes_per_fit=replace(exact(3.2e9), high=4.4e9))
    answer = plan(facts, lanes=[PROCESS, LOCAL], clusters=[HERE])
    assert (answer.choice.lane, answer.choice.workers) == ("process", 1)
    (two,) = [one for one in answer.candidates if one.workers == 2]
    assert two.held_bytes.value < two.memory_bytes < two.held_bytes.high
    assert two.breaks == ("memory",)


@pytest.mark.parametrize(
    ("bounds", "named"),
    [
        ({"deadline_seconds": 0}, "deadline_seconds must be above 0, got 0"),
        ({"deadline_seconds": float("nan")}, "got nan"),
        ({"budget": -1}, "budget of Limits must be 0 or more, got -1"),
        ({"aim": "best"}, "unknown aim 'best'; allowed: 'simplest', 'fastest', 'cheapest'"),
    ],
)
def test_impossible_limits_are_refused(bounds, named):
    with pytest.raises(ConfigError, match=named):
        Limits(**bounds)


@pytest.mark.parametrize("bounds", [Limits(budget=1.0), Limits(aim="cheapest")])
def test_money_counts_only_where_all_have_prices(bounds):
    free = Cluster(node=NodeType(name="unpriced", cores=2, memory_bytes=8 * GIB))
    with pytest.raises(ConfigError, match="unpriced has none"):
        plan(many(), lanes=LANES, clusters=[HERE, free], limits=bounds)
    assert plan(many(), lanes=LANES, clusters=[free]).choice.money is None


def test_a_plan_needs_a_lane_that_can_do_it_and_a_place():
    with pytest.raises(ConfigError, match="got 0 and 1"):
        plan(many(), lanes=[], clusters=[HERE])
    search = Search(
        rows=1, bytes=1, trials=2, seconds_per_trial=exact(1), peak_bytes_per_trial=exact(1), early_stopping=True
    )
    with pytest.raises(UnsupportedError, match="no lane can do Search; got spark"):
        plan(search, lanes=[SPARK], clusters=[HERE])


@pytest.mark.parametrize("bounds", [Limits(), Limits(deadline_seconds=1, budget=0.01)])
def test_a_plan_is_hashable_and_survives_json(bounds):
    answer = plan(many(), lanes=LANES, clusters=CLUSTERS, limits=bounds)
    again = TypeAdapter(Plan).validate_json(to_json(answer))
    assert again == answer
    assert hash(again) == hash(answer)
    assert content_hash(again) == content_hash(answer)


def chosen(facts, clusters):
    return choose(weigh(facts, lanes=LANES, clusters=clusters, limits=Limits()), Limits())


@pytest.mark.parametrize("facts", [many(), many(40_000, 0.5), many(20, 30.0, largest_share=0.2)])
def test_the_choice_changes_where_the_break_even_says(facts):
    answer = plan(facts, lanes=LANES, clusters=CLUSTERS)
    sizes = [found for found in answer.break_even if found.quantity == "fits"]
    assert sizes
    for found in sizes:
        there = chosen(grown(facts, found.amount / facts.fits), CLUSTERS)
        towards = 1.02 if found.amount < facts.fits else 1 / 1.02
        before = chosen(grown(facts, (found.amount * towards + (towards > 1)) / facts.fits), CLUSTERS)
        assert there.design != answer.choice.design
        assert before.design == answer.choice.design


def test_nodes_of_the_break_even_are_the_first_that_pay():
    facts = many(2000, 0.05)
    clusters = [replace(HERE, lanes=("process", "local")), replace(SMALL, max_nodes=2, start_seconds=exact(35))]
    (found,) = [one for one in plan(facts, lanes=LANES, clusters=clusters).break_even if one.quantity == "nodes"]
    wide = [replace(cluster, max_nodes=int(found.amount)) for cluster in clusters]
    narrow = [replace(cluster, max_nodes=int(found.amount) - 1) for cluster in clusters]
    assert found.amount > 2
    assert chosen(facts, wide).nodes > 1
    assert chosen(facts, narrow).nodes == 1


def test_a_relaxed_limit_is_met():
    facts, tight = many(seconds=3), Limits(deadline_seconds=320, budget=0.2)
    relax = plan(facts, lanes=LANES, clusters=[SMALL], limits=tight).relax
    assert len(relax) == 2
    for found in relax:
        names = {"deadline": "deadline_seconds", "budget": "budget"}
        loose = replace(tight, **{names[found.limit]: found.needed})
        assert plan(facts, lanes=LANES, clusters=[SMALL], limits=loose).choice is not None
        less = replace(tight, **{names[found.limit]: found.needed * 0.999})
        assert plan(facts, lanes=LANES, clusters=[SMALL], limits=less).choice is None


def test_limits_that_must_give_together_are_named_together():
    answer = plan(many(seconds=3), lanes=[RAY], clusters=[SMALL], limits=Limits(deadline_seconds=1, budget=0.001))
    assert {(found.limit, found.also) for found in answer.relax} == {
        ("deadline", ("budget",)),
        ("budget", ("deadline",)),
    }


def test_memory_to_relax_is_what_one_worker_needs():
    answer = plan(many(peak_bytes_per_fit=exact(20 * GIB)), lanes=[PROCESS], clusters=[HERE])
    (found,) = answer.relax
    assert (found.limit, found.allowed) == ("memory", 8 * GIB)
    assert found.needed == pytest.approx(20 * GIB + 3.3e8)
    assert answer.bottleneck == "data size"


def test_the_planner_loads_no_engine():
    heavy = ["lakemill.engines", "ray", "pyspark", "torch", "numpy", "pandas", "duckdb", "pyarrow"]
    code = f"import sys, lakemill.planner; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
