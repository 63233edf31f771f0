"""What an expert would choose, and whether the reason names the cause."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lakemill.core.planning import Limits, Plan, exact, within
from lakemill.parallel import transformer
from lakemill.planner import DeepTraining, FeaturePipeline, Search, TableModel, plan
from tests.unit.planner.hardware import ACCELERATED, BIG, GIB, HERE, LANES, SMALL, many


def said(answer: Plan, *words: str) -> bool:
    """Whether one of the reasons has all the words."""
    return any(all(word in reason for word in words) for reason in answer.reasons)


def test_tables_that_live_in_spark_stay_in_spark():
    work = FeaturePipeline(
        rows=10**9,
        bytes=200 * GIB,
        lives_in="spark",
        core_seconds=within(40_000, 0.3),
        peak_bytes=within(60 * GIB, 0.3),
        shuffled_bytes=20 * GIB,
    )
    answer = plan(work, lanes=LANES, clusters=[HERE, SMALL, BIG])
    assert (answer.choice.lane, answer.bottleneck) == ("spark", "workflow fit")
    assert said(answer, "lives in spark", "stays there")
    assert said(answer, "ray can't do it", "no frames")


def test_what_spark_cannot_do_leaves_spark():
    fits = many(lives_in="spark", accelerator_bytes_per_fit=4 * GIB, busy_accelerators=0.05)
    answer = plan(fits, lanes=LANES, clusters=[SMALL, ACCELERATED])
    assert answer.choice.lane == "ray"
    assert said(answer, "lives in spark", "leaves it")
    assert said(answer, "spark can't do it", "no accelerators")


def test_tuning_with_early_stopping_goes_to_ray():
    search = Search(
        rows=10**6,
        bytes=10**8,
        trials=400,
        seconds_per_trial=within(60, 0.2),
        peak_bytes_per_trial=within(1e9, 0.2),
        early_stopping=True,
    )
    answer = plan(search, lanes=LANES, clusters=[HERE, SMALL])
    assert (answer.choice.lane, answer.choice.nodes > 1, answer.bottleneck) == ("ray", True, "number of models")
    assert said(answer, "stopped early")
    assert said(answer, "spark can't do it", "no feedback")


def test_a_training_loop_of_its_own_goes_to_ray_and_a_form_in_spark_to_spark():
    model = TableModel(
        rows=10**9, bytes=10**9, core_seconds=within(50_000, 0.2), peak_bytes=exact(100 * GIB), distributed="gangs"
    )
    own = plan(model, lanes=LANES, clusters=[SMALL])
    assert own.choice.lane == "ray"
    assert said(own, "spark can't do it", "no gangs")
    assert plan(replace(model, distributed="frames"), lanes=LANES, clusters=[SMALL]).choice.lane == "spark"


def deep(samples: int, *, hidden: int, layers: int) -> DeepTraining:
    model = transformer(layers, hidden, heads=16, sequence=512, vocabulary=32_000)
    return DeepTraining(
        rows=samples,
        bytes=samples * 1024,
        model=model,
        samples=samples,
        batch_samples=256,
        utilisation=within(0.4, 0.2),
    )


def test_the_same_model_on_far_more_data_is_data_parallel():
    few, lots = deep(2_000, hidden=1024, layers=12), deep(20_000_000, hidden=1024, layers=12)
    alone = plan(few, lanes=LANES, clusters=[ACCELERATED])
    assert (alone.choice.workers, alone.choice.cut) == (1, ())
    answer = plan(lots, lanes=LANES, clusters=[ACCELERATED])
    (cut,) = answer.choice.cut
    assert cut[0] == "ddp"
    assert cut[1] == answer.choice.workers > 1
    assert answer.bottleneck == "training time"
    assert said(answer, "fits one device", "samples", "ddp")


def test_a_model_that_one_worker_cannot_hold_is_sharded_or_cut():
    answer = plan(deep(100_000, hidden=5120, layers=40), lanes=LANES, clusters=[ACCELERATED])
    kinds = {kind for kind, _ in answer.choice.cut}
    assert kinds & {"zero 1", "zero 2", "zero 3", "tensor", "pipeline"}
    assert "ddp" not in kinds or kinds & {"tensor", "pipeline"}
    assert answer.choice.held_bytes.high <= 80 * GIB
    assert answer.bottleneck == "model size"
    assert said(answer, "can't hold it", "of 80 GiB")
    assert said(answer, "can't hold the model", "cut", next(iter(kinds)))


def test_thousands_of_small_models_are_one_each_and_share_accelerators():
    fits = many(5000, 2.0, accelerator_bytes_per_fit=18 * GIB, busy_accelerators=0.2, busy_cores=0.5)
    answer = plan(fits, lanes=LANES, clusters=[ACCELERATED])
    assert (answer.choice.each.cpus, answer.choice.each.gpus) == (0.5, 0.25)
    assert answer.choice.workers == answer.choice.nodes * 8 * 4
    assert said(answer, "independent", "cpus=0.5, gpus=0.25")


def test_fits_that_wait_share_cores():
    answer = plan(many(4000, 1.0, busy_cores=0.25), lanes=LANES, clusters=[HERE])
    assert (answer.choice.lane, answer.choice.workers, answer.choice.each.cpus) == ("local", 8, 0.25)


def test_data_that_fits_one_machine_stays_on_it_until_so_many_nodes():
    answer = plan(many(), lanes=LANES, clusters=[HERE, SMALL])
    assert (answer.choice.lane, answer.choice.node, answer.choice.nodes) == ("local", "here", 1)
    assert said(answer, "one machine does it", "start-up")
    amounts = {found.quantity: found for found in answer.break_even}
    assert amounts["nodes"].amount == 2
    assert "ray on 2 nodes of here" in amounts["nodes"].becomes


@pytest.mark.parametrize(
    "work",
    [
        TableModel(rows=10**6, bytes=10**8, core_seconds=exact(5000), peak_bytes=exact(GIB), serial_share=1.0),
        Search(
            rows=10**6,
            bytes=10**8,
            trials=100,
            seconds_per_trial=exact(50),
            peak_bytes_per_trial=exact(GIB),
            sequential=True,
        ),
    ],
)
def test_what_is_sequential_is_not_distributed(work):
    answer = plan(work, lanes=LANES, clusters=[HERE, SMALL, BIG])
    assert (answer.choice.lane, answer.choice.node, answer.choice.workers) == ("process", "here", 1)
    assert said(answer, "every step needs the one before", "distribute around it")


def test_a_deadline_that_only_a_bigger_node_meets():
    model = TableModel(
        rows=10**8,
        bytes=10**9,
        core_seconds=within(64_000, 0.1),
        peak_bytes=exact(10 * GIB),
        distributed="gangs",
        rounds=2000,
        exchanged_bytes=400_000_000,
    )
    answer = plan(model, lanes=LANES, clusters=[SMALL, BIG], limits=Limits(deadline_seconds=1500))
    assert (answer.choice.node, answer.choice.nodes) == ("big", 1)
    assert said(answer, "bigger node, big", "small", "communication", "breaks the deadline")
    cheap_talk = replace(model, exchanged_bytes=1000)
    assert plan(cheap_talk, lanes=LANES, clusters=[SMALL], limits=Limits(deadline_seconds=1500)).choice.nodes > 1


def test_nothing_meets_the_limits_and_the_plan_says_which_to_relax_by_how_much():
    answer = plan(many(seconds=3), lanes=LANES, clusters=[SMALL], limits=Limits(deadline_seconds=320, budget=0.2))
    assert answer.choice is None
    least = {found.limit: found for found in answer.relax}
    assert set(least) == {"deadline", "budget"}
    fastest = min(one.seconds.value for one in answer.candidates if one.money.value <= 0.2)
    cheapest = min(one.money.value for one in answer.candidates if one.seconds.value <= 320)
    assert (least["deadline"].needed, least["budget"].needed) == (fastest, cheapest)
    assert said(answer, "relax the deadline from 5.33 min to")
    assert said(answer, "relax the budget from 0.2 to")


def test_a_lane_that_one_of_its_kind_can_take_is_not_called_unable():
    tasks = replace(LANES[3], abilities=("tasks",))
    pipeline = FeaturePipeline(rows=1, bytes=1, core_seconds=exact(100), peak_bytes=exact(1))
    answer = plan(pipeline, lanes=[*LANES, tasks], clusters=[SMALL])
    assert not said(answer, "spark can't do it")
    assert said(answer, "ray can't do it", "no frames")


def test_many_nodes_are_compared_with_what_one_node_has_memory_for():
    answer = plan(many(40_000, peak_bytes_per_fit=within(6 * GIB, 0.2)), lanes=LANES, clusters=[SMALL])
    assert answer.choice.nodes > 1
    assert said(answer, "several nodes beat one", "local on small, 4 workers")


def test_assumptions_are_told():
    facts = many(sources=(("seconds_per_fit", "assumed"), ("rows", "metadata")))
    answer = plan(facts, lanes=LANES, clusters=[HERE])
    assert answer.assumed == ("seconds_per_fit",)
    assert said(answer, "assumed, not measured: seconds_per_fit")


def test_a_deadline_that_is_met_on_the_average_is_called_a_risk():
    answer = plan(many(), lanes=LANES, clusters=[HERE], limits=Limits(deadline_seconds=63))
    assert answer.choice.seconds.value < 63 < answer.choice.seconds.high
    assert said(answer, "may miss the deadline", "of 63 s")


def test_what_is_paid_already_is_named_beside_what_is_not():
    fits = many(40_000, 0.5)
    dear = plan(fits, lanes=LANES, clusters=[HERE, SMALL])
    assert dear.choice.node == "small"
    assert said(dear, "local on here, 2 workers, costs nothing more and would take 2.8 h")
    assert not said(plan(fits, lanes=LANES, clusters=[HERE]), "costs nothing more")
    assert not said(plan(fits, lanes=LANES, clusters=[SMALL]), "costs nothing more")
