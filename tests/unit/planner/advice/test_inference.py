"""Batch, streaming and real-time inference against simulations and hand arithmetic."""

from __future__ import annotations

from dataclasses import replace
from heapq import heapreplace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakemill.core.errors import ConfigError
from lakemill.core.planning import exact, within
from lakemill.planner.advice import Inference, advise_inference
from lakemill.planner.advice.queueing import erlang_c, steady_share, waiting_seconds

REQUESTS = 60_000


def simulated_waits(servers: int, load: float, services: np.ndarray) -> np.ndarray:
    """Requests that arrive by chance, and go to whichever server is free first; the first of them warm it up."""
    arrivals = np.cumsum(np.random.default_rng(1).exponential(1 / load, len(services)))
    free, waits = [0.0] * servers, []
    for arrival, seconds in zip(arrivals, services, strict=True):
        begin = max(arrival, free[0])
        heapreplace(free, begin + seconds)
        waits.append(begin - arrival)
    return np.array(waits[len(waits) // 20 :])


@pytest.mark.parametrize(("servers", "busy"), [(1, 0.5), (2, 0.7), (4, 0.7), (16, 0.8)])
def test_waiting_is_that_of_a_simulated_queue(servers, busy):
    load = servers * busy
    waits = simulated_waits(servers, load, np.random.default_rng(2).exponential(1.0, REQUESTS))
    assert erlang_c(servers, load) == pytest.approx((waits > 0).mean(), rel=0.05)
    assert waiting_seconds(servers, load, seconds=1.0, quantile=0.95) == pytest.approx(
        np.quantile(waits, 0.95), rel=0.08
    )


@pytest.mark.parametrize(("servers", "busy"), [(1, 0.3), (1, 0.7), (2, 0.7), (4, 0.5), (16, 0.7)])
def test_an_answer_takes_as_long_as_simulated_where_rows_are_alike(servers, busy):
    load, seconds = servers * busy, 0.02
    asked = Inference(
        requests_per_second=load / seconds, seconds_per_row=exact(seconds), workers_per_node=servers, most_busy=0.9
    )
    (option,) = [one for one in advise_inference(asked).options if one.mode == "real-time"]
    measured = seconds * (1 + np.quantile(simulated_waits(servers, load, np.ones(REQUESTS)), 0.95))
    assert option.latency.value == pytest.approx(measured, rel=0.12)
    assert measured < option.latency.high


def test_the_share_of_steady_services_is_exact_for_one_server():
    """Pollaczek and Khinchine: with one server, services that are alike halve the mean wait."""
    waits = [
        simulated_waits(1, 0.7, s).mean()
        for s in (np.ones(REQUESTS), np.random.default_rng(2).exponential(1.0, REQUESTS))
    ]
    assert steady_share(1, 0.7) == pytest.approx(waits[0] / waits[1], rel=0.05)


def batch_age(every: float, run: float) -> float:
    """Oldest features under a prediction, over ten runs: those of a run serve until the next one ends."""
    ends = [(number * every, number * every + run) for number in range(10)]
    return max(later_end - read for (read, _), (_, later_end) in pairwise(ends))


@given(st.integers(1_000, 200_000), st.floats(500, 50_000))
@settings(max_examples=50)
def test_a_batch_is_as_rare_as_freshness_allows(rows, freshness):
    asked = Inference(
        requests_per_second=1.0, seconds_per_row=exact(0.01), rows_ahead=rows, freshness_seconds=freshness,
        start_seconds=exact(60.0), max_nodes=32,
    )  # fmt: skip
    batch = next(one for one in advise_inference(asked).options if one.mode == "batch")
    run = 60 + rows * 0.01 / batch.nodes
    assert batch.age.value == pytest.approx(batch_age(batch.every_seconds, run))
    assert batch.node_hours_per_day.value == pytest.approx(24 * batch.nodes * run / batch.every_seconds)
    if not batch.breaks:
        assert batch.age.value == pytest.approx(freshness)
        assert batch.nodes == 1 or 2 * (60 + rows * 0.01 / (batch.nodes - 1)) > freshness


def test_a_batch_of_what_was_asked_holds_one_pause_of_requests():
    asked = Inference(
        requests_per_second=20, seconds_per_row=exact(0.01), start_seconds=exact(60), latency_seconds=7200
    )
    batch = next(one for one in advise_inference(asked).options if one.mode == "batch")
    run = 60 + 20 * batch.every_seconds * 0.01
    assert batch.every_seconds + run == pytest.approx(7200) == batch.latency.value


def test_a_stream_keeps_up():
    """Micro-batches one after another: the backlog does not grow, and workers are busy as much as allowed."""
    asked = Inference(requests_per_second=40, seconds_per_row=exact(0.01), microbatch_seconds=exact(0.5))
    stream = next(one for one in advise_inference(asked).options if one.mode == "streaming")
    takes = 0.5 + 40 * stream.every_seconds * 0.01
    assert takes / stream.every_seconds == pytest.approx(asked.most_busy)
    assert stream.age.value == pytest.approx(stream.every_seconds + takes)


CASES = [
    ("real-time", {"latency_seconds": 0.2}),  # callers wait
    ("batch", {}),  # nobody waits
    ("batch", {"rows_ahead": 10_000, "latency_seconds": 0.02}),  # callers wait, but all is known ahead
    ("streaming", {"rows_ahead": 10_000, "freshness_seconds": 60, "changes_per_second": 1, "requests_per_second": 500}),
]


@pytest.mark.parametrize(("mode", "given"), CASES)
def test_the_mode_follows_from_the_needs(mode, given):
    advice = advise_inference(Inference(**{"requests_per_second": 20, "seconds_per_row": exact(0.01), **given}))
    assert advice.choice.mode == mode
    assert not {one.mode for one in advice.options if one.breaks} & {mode}


def test_what_breaks_a_need_is_refused_with_the_figures():
    asked = Inference(requests_per_second=20, seconds_per_row=exact(0.01), latency_seconds=0.2)
    refused = dict(advise_inference(asked).refused)
    assert refused["batch"] == "an answer takes 2.5 min, 200 ms allowed"
    assert set(refused) == {"batch", "streaming"}
    none = advise_inference(replace(asked, latency_seconds=0.001))
    assert none.choice is None
    assert len(none.refused) == 3
    assert "relax" in none.reasons[0]


def test_too_few_nodes_say_how_many_it_takes():
    asked = Inference(requests_per_second=700, seconds_per_row=exact(0.1), max_nodes=9)
    assert dict(advise_inference(asked).refused)["real-time"].startswith("at least 100 nodes")
    assert advise_inference(replace(asked, max_nodes=100)).choice is not None


def test_each_criterion_has_places():
    ranks = dict(advise_inference(Inference(requests_per_second=20, seconds_per_row=exact(0.01))).ranks)
    assert set(ranks) == {"latency", "throughput", "cost", "freshness"}
    assert dict(ranks["cost"]) == {"batch": 1, "streaming": 2, "real-time": 2}
    assert dict(ranks["freshness"]) == {"real-time": 1, "streaming": 2, "batch": 3}


def test_the_choice_changes_where_it_is_said_to():
    asked = Inference(
        requests_per_second=2.0, seconds_per_row=exact(0.01), latency_seconds=180, start_seconds=exact(60)
    )
    advice = advise_inference(asked)
    assert advice.choice.mode == "batch"
    (flip,) = [one for one in advice.break_even if one.quantity == "requests an hour"]
    chosen = [
        advise_inference(replace(asked, requests_per_second=flip.amount / 3600 * share)).choice.mode
        for share in (0.99, 1.01)
    ]
    assert chosen == ["batch", flip.becomes]


def test_a_batch_as_frequent_as_that_costs_an_endpoint():
    asked = Inference(requests_per_second=2.0, seconds_per_row=exact(0.01), start_seconds=exact(60))
    (pause,) = [one for one in advise_inference(asked).break_even if one.quantity == "seconds between batch runs"]
    assert (60 + 2.0 * pause.amount * 0.01) / pause.amount == pytest.approx(1.0)


def test_money_and_upper_bounds():
    asked = Inference(
        requests_per_second=20, seconds_per_row=within(0.01, 0.5), latency_seconds=0.03, price_per_hour=0.5
    )
    advice = advise_inference(asked)
    assert advice.choice.money_per_day.value == pytest.approx(12.0)
    assert any("at its upper bound" in reason for reason in advice.reasons)
    assert advice.assumed == ("start_seconds", "microbatch_seconds", "lookup_seconds")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"requests_per_second": 0}, "requests_per_second"),
        ({"requests_per_second": 2, "peak_requests_per_second": 1}, "peak_requests_per_second of Inference must be 2"),
        ({"seconds_per_row": exact(0)}, "seconds_per_row must be above 0"),
        ({"most_busy": 1.0}, "most_busy"),
        ({"latency_seconds": float("nan")}, "latency_seconds"),
        ({"rows_ahead": 0}, "rows_ahead"),
    ],
)
def test_bad_input(given, words):
    with pytest.raises(ConfigError, match=words):
        Inference(**{"requests_per_second": 1.0, "seconds_per_row": exact(0.01), **given})
