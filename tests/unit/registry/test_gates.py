from __future__ import annotations

import pytest

from lakemill.core.errors import ConfigError
from lakemill.registry import BetterThan, Decision, Evaluation, MetricThreshold, decide, gates


def measured(value: float, *, metric: str = "wrmsse", data: str = "the last 28 days", up: bool = False) -> Evaluation:
    return Evaluation(metric=metric, value=value, of="version 4", data=data, n=3000, higher_is_better=up)


def better(by: float = 0.0) -> BetterThan:
    return BetterThan(opponent="champion", metric="wrmsse", by=by)


@pytest.mark.parametrize(
    ("challenger", "opponent", "by", "up", "passed"),
    [
        (0.89, 1.0, 0.1, False, True),
        (0.91, 1.0, 0.1, False, False),
        (1.01, 1.0, 0.0, False, False),
        (1.0, 1.0, 0.0, False, False),
        (0.5, 1.0, 0.5, False, True),
        (1.11, 1.0, 0.1, True, True),
        (1.09, 1.0, 0.1, True, False),
        (0.99, 1.0, 0.0, True, False),
        (-0.8, -1.0, 0.1, True, True),
        (-1.2, -1.0, 0.1, True, False),
        (0.0, 0.0, 0.0, False, False),
        (0.1, 0.0, 0.0, False, False),
        (0.1, 0.0, 0.5, True, True),
    ],
)
def test_a_challenger_must_beat_its_opponent_by_a_share(challenger, opponent, by, up, passed):
    decision = decide(better(by), measured(challenger, up=up), measured(opponent, up=up))
    assert decision.passed is passed


@pytest.mark.parametrize(
    ("challenger", "opponent", "by", "up", "reason"),
    [
        (0.98, 1.0, 0.05, False, "wrmsse 0.98 is 2.0 % better than 1 of version 4; at least 5.0 % is asked"),
        (1.3, 1.0, 0.01, False, "wrmsse 1.3 is 30.0 % worse than 1 of version 4; at least 1.0 % is asked"),
        (1.3, 1.0, 0.01, True, "wrmsse 1.3 is 30.0 % better than 1 of version 4; at least 1.0 % is asked"),
        (0.5, 0.0, 0.1, False, "wrmsse 0.5 is 0.5 worse than 0 of version 4; at least 0 is asked"),
    ],
)
def test_the_reason_says_what_was_compared_and_asked(challenger, opponent, by, up, reason):
    assert decide(better(by), measured(challenger, up=up), measured(opponent, up=up)).reason == reason


def test_the_reason_says_when_the_data_differ():
    decision = decide(better(), measured(0.9, data="May"), measured(1.0, data="April"))
    assert decision.reason.endswith("(measured on other data: May against April)")


def test_a_first_version_has_nothing_to_beat():
    assert decide(better(0.5), measured(0.7), None) == Decision(
        passed=True, reason="wrmsse 0.7: there is no champion to compare with yet"
    )


@pytest.mark.parametrize(
    ("asked", "challenger", "opponent", "up", "passed"),
    [
        ({"threshold": 0.8}, 0.8, None, True, True),
        ({"threshold": 0.8}, 0.79, None, True, False),
        ({"threshold": 0.8}, 0.8, None, False, True),
        ({"threshold": 0.8}, 0.81, None, False, False),
        ({"threshold": 0.8}, 0.79, 0.1, True, False),
        ({"min_absolute_change": 0.25}, 1.25, 1.0, True, True),
        ({"min_absolute_change": 0.25}, 1.24, 1.0, True, False),
        ({"min_absolute_change": 0.25}, 0.75, 1.0, False, True),
        ({"min_absolute_change": 0.25}, 1.25, 1.0, False, False),
        ({"min_relative_change": 0.5}, 3.0, 2.0, True, True),
        ({"min_relative_change": 0.5}, 2.9, 2.0, True, False),
        ({"min_relative_change": 0.5}, 0.2, None, True, True),
        ({"threshold": 5.0, "min_relative_change": 0.1}, 4.0, 2.0, True, False),
        ({"threshold": 3.0, "min_relative_change": 0.1}, 4.0, 3.9, True, False),
        ({"threshold": 3.0, "min_absolute_change": 0.1, "min_relative_change": 0.1}, 4.0, 3.0, True, True),
    ],
)
def test_a_threshold_holds_back_what_does_not_reach_it(asked, challenger, opponent, up, passed):
    gate = MetricThreshold(metric="wrmsse", **asked)
    other = None if opponent is None else measured(opponent, up=up)
    assert decide(gate, measured(challenger, up=up), other).passed is passed


def test_a_threshold_gives_a_reason_for_each_thing_it_asks():
    gate = MetricThreshold(metric="wrmsse", threshold=0.9, min_absolute_change=0.1, min_relative_change=0.2)
    assert decide(gate, measured(0.95), measured(1.0)).reason == (
        "wrmsse is 0.95; at most 0.9 is asked; "
        "wrmsse 0.95 is 0.05 better than 1 of version 4; at least 0.1 is asked; "
        "wrmsse 0.95 is 5.0 % better than 1 of version 4; at least 20.0 % is asked"
    )


@pytest.mark.parametrize(
    ("challenger", "opponent"),
    [(measured(1.0, metric="mase"), measured(1.0)), (measured(1.0), measured(1.0, metric="mase"))],
)
def test_another_metric_is_refused(challenger, opponent):
    with pytest.raises(ConfigError, match="the gate asks for wrmsse, the evaluation holds mase"):
        decide(better(), challenger, opponent)


def test_figures_that_disagree_on_what_is_better_are_refused():
    with pytest.raises(ConfigError, match="do not agree which direction is better"):
        decide(better(), measured(1.0, up=True), measured(1.0))


@pytest.mark.parametrize(
    "make",
    [
        lambda: better(-0.1),
        lambda: MetricThreshold(metric="wrmsse"),
        lambda: MetricThreshold(metric="wrmsse", min_relative_change=-0.1),
        lambda: measured(float("nan")),
        lambda: measured(float("inf")),
    ],
)
def test_what_cannot_be_is_refused_at_birth(make):
    with pytest.raises(ConfigError):
        make()


def _worse_are_held_back() -> None:
    threshold = MetricThreshold(metric="wrmsse", threshold=0.5)
    change = MetricThreshold(metric="wrmsse", min_absolute_change=0.1)
    for gate in (better(), threshold, change):
        assert not decide(gate, measured(2.0), measured(1.0)).passed


@pytest.mark.parametrize("comparison", ["_by_share", "_by_amount", "_reaches"])
def test_a_gate_that_compares_nothing_is_noticed(monkeypatch, comparison):
    _worse_are_held_back()
    monkeypatch.setattr(gates, comparison, lambda *_, **__: Decision(passed=True, reason=""))
    with pytest.raises(AssertionError):
        _worse_are_held_back()
