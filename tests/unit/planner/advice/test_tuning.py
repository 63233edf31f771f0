"""Advice on tuning against scikit-learn's own count, simulated schedules and draws, and TPE itself."""

from __future__ import annotations

import csv
from dataclasses import replace
from heapq import heapreplace
from importlib.resources import files

import numpy as np
import optuna
import pytest
from benchmarks._landscapes import Landscape
from benchmarks.parallel_tuning import ALONE, Setting, log_quality, log_share, reference, search
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GridSearchCV

from lakemill.core.errors import ConfigError
from lakemill.core.planning import exact, within
from lakemill.planner.advice import Tuning, advise_tuning
from lakemill.planner.advice.tuning import share_hit, trials_to_hit
from lakemill.planner.advice.tuning_evidence import evidence

SECOND = exact(1.0)


class Counted(ClassifierMixin, BaseEstimator):
    """Counts how often it is fitted."""

    fits = 0

    def __init__(self, a=0, b=0):
        self.a, self.b = a, b

    def fit(self, x, y):
        Counted.fits += 1
        self.classes_, self.columns_ = np.unique(y), x.shape[1]
        return self

    def predict(self, x):
        return np.zeros(len(x))


def test_models_fitted_are_those_that_scikit_learn_fits():
    Counted.fits = 0
    searched = GridSearchCV(Counted(), {"a": [1, 2, 3], "b": [1, 2, 3, 4]}, cv=5)
    searched.fit(np.zeros((20, 1)), np.arange(20) % 2)
    advice = advise_tuning(Tuning(sampler="grid", grid=(3, 4), folds=5, seconds_per_fit=SECOND))
    assert advice.choice.fits == Counted.fits == 61
    assert advice.reasons[0] == "models fitted: grid of 3 x 4 = 12 x 5 folds + 1 on all rows = 61"


@given(st.integers(1, 60), st.integers(1, 6), st.integers(1, 20), st.sampled_from(["random", "tpe"]))
def test_seconds_are_those_of_a_simulated_schedule(trials, folds, workers, sampler):
    tuning = Tuning(sampler=sampler, trials=trials, folds=folds, workers=workers, seconds_per_fit=SECOND)
    for option in advise_tuning(tuning).options:
        tasks = [float(folds)] * trials if tuning.learns else [1.0] * (trials * folds)
        free = [0.0] * option.parallel
        for seconds in tasks:
            heapreplace(free, free[0] + seconds)
        assert option.seconds.value == pytest.approx(max(free) + 1)


def test_busy_workers_slow_each_other_down():
    tuning = Tuning(sampler="random", trials=20, workers=2, seconds_per_fit=SECOND, slowdown_per_busy_worker=0.2)
    assert [option.seconds.value for option in advise_tuning(tuning).options] == pytest.approx([101, 61])


@pytest.mark.parametrize(("share", "confidence"), [(0.05, 0.95), (0.01, 0.9), (0.02, 0.5)])
def test_random_trials_hit_the_best_share_as_often_as_drawn(share, confidence):
    trials = trials_to_hit(share, confidence=confidence)
    best = np.random.default_rng(0).random((20_000, trials)).min(axis=1)
    assert (best < share).mean() == pytest.approx(confidence, abs=0.015)
    assert (best < share_hit(trials, confidence=confidence)).mean() == pytest.approx(confidence, abs=0.015)
    assert 1 - (1 - share) ** trials >= confidence > 1 - (1 - share) ** (trials - 1)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_deadline_alone_is_filled_with_as_many_trials_as_end_by_it(sampler):
    tuning = Tuning(sampler=sampler, folds=3, workers=6, seconds_per_fit=exact(0.7), deadline_seconds=60)
    for option in advise_tuning(tuning).options:
        more = replace(tuning, trials=option.trials + 1, deadline_seconds=None)
        (late,) = [one for one in advise_tuning(more).options if one.parallel == option.parallel]
        assert option.seconds.value <= 60 < late.seconds.value


def test_what_finds_most_by_the_deadline_is_chosen():
    advice = advise_tuning(Tuning(workers=16, seconds_per_fit=SECOND, deadline_seconds=100))
    most = max(option.worth.value for option in advice.options)
    assert advice.choice.parallel == min(o.parallel for o in advice.options if o.worth.value >= 0.9 * most)
    assert advice.choice.parallel > 1


def test_trials_and_a_deadline_get_the_fewest_at_once_that_meet_it():
    advice = advise_tuning(Tuning(trials=64, workers=16, seconds_per_fit=SECOND, deadline_seconds=120))
    assert advice.choice.parallel == 3
    assert [option.parallel for option in advice.options if "deadline" in option.breaks] == [1, 2]


def test_what_loses_too_much_is_refused():
    tuning = Tuning(trials=64, workers=64, seconds_per_fit=SECOND, least_share=0.999)
    assert advise_tuning(tuning).choice.share.value >= 0.999
    assert "would leave" in advise_tuning(tuning).reasons[-1]
    assert advise_tuning(replace(tuning, least_share=0.0)).choice.parallel == 64


@pytest.mark.parametrize(("sampler", "grid"), [("random", ()), ("grid", (8, 8))])
def test_trials_that_do_not_learn_lose_nothing(sampler, grid):
    advice = advise_tuning(Tuning(sampler=sampler, grid=grid, workers=64, seconds_per_fit=SECOND))
    assert {option.share.low for option in advice.options} == {1.0}
    assert advice.choice.parallel > 50


def test_nothing_in_time_says_what_would_be():
    tuning = Tuning(sampler="grid", grid=(10, 10), workers=4, seconds_per_fit=SECOND, deadline_seconds=26)
    advice = advise_tuning(tuning)
    assert advice.choice is None
    assert "relax the deadline from 26 s to 2.1 min: 4 at once" in advice.reasons
    fewer = int(advice.reasons[-1].split()[2])
    assert advise_tuning(replace(tuning, sampler="random", grid=(), trials=fewer)).choice
    assert not advise_tuning(replace(tuning, sampler="random", grid=(), trials=fewer + 1)).choice


def test_what_nobody_measured_is_assumed():
    measured = Tuning(trials=64, workers=16, seconds_per_fit=SECOND)
    assert advise_tuning(measured).assumed == ()
    for other in (
        replace(measured, sampler="other"),
        replace(measured, trials=1000),
        replace(measured, workers=200, trials=200),
    ):
        advice = advise_tuning(other)
        assert advice.assumed == ("share",)
        assert advice.options[-1].share.low <= 1 / min(advice.options[-1].parallel, 16)


def rows() -> list[dict[str, float]]:
    text = files("lakemill.planner.advice").joinpath("tuning_evidence.csv").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(lines)]


def test_the_table_says_no_more_than_was_measured():
    """More at once finds less wherever the bounds of two lines lie apart; nowhere the other way round."""
    table = {(row["trials"], row["parallel"]): row for row in rows() if row["liar"]}
    apart = [
        (few, many)
        for (trials, k), few in table.items()
        for (others, more), many in table.items()
        if trials == others
        and k < more
        and (few["share_low"] > many["share_high"] or few["share_high"] < many["share_low"])
    ]
    assert apart
    assert all(few["share"] > many["share"] for few, many in apart)
    assert all(
        row["one_low"] <= row["share_low"] <= row["share"] <= row["share_high"] <= row["one_high"] for row in rows()
    )


def test_measured_numbers_come_back_and_others_lie_between():
    table = {(row["trials"], row["parallel"]): row for row in rows() if row["liar"]}
    for (trials, parallel), row in table.items():
        assert evidence(int(trials), int(parallel)).share.value == pytest.approx(min(1.0, row["share"]))
    ends = sorted(evidence(64, k).share.value for k in (4, 16))
    assert ends[0] <= evidence(64, 8).share.value <= ends[1]


def ackley(points: np.ndarray) -> np.ndarray:
    """Ackley's function of 3 variables on [-10, 20]: its optimum is not in the middle, and no line of the table knows it."""
    x = points * 30 - 10
    spread = -20 * np.exp(-0.2 * np.sqrt((x**2).mean(axis=1)))
    return spread - np.exp(np.cos(2 * np.pi * x).mean(axis=1)) + 20 + np.e


def test_the_loss_is_that_of_tpe_on_a_function_that_was_held_out():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    held, trials, together, seeds = Landscape("ackley", 3, ackley), 64, Setting(16), 10
    among = reference(held)
    found = {
        setting: np.array(
            [log_quality(search(held, setting, trials=n, seed=100 + seed), among) for seed in range(seeds)]
        )
        for setting, n in ((ALONE, 96), (together, trials))
    }
    measured = np.exp(log_share(found, together, trials, np.arange(seeds)))
    told = evidence(trials, together.parallel).share
    assert told.low <= measured <= max(told.high, 1.2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sampler": "tep"}, "unknown sampler 'tep'"),
        ({"sampler": "grid"}, "number of values"),
        ({"sampler": "grid", "grid": (3, 0)}, "number of values"),
        ({"grid": (3, 4)}, "got sampler 'tpe' with grid"),
        ({"sampler": "grid", "grid": (3, 4), "trials": 5}, "a grid sets its own number"),
        ({"trials": 0}, "trials of Tuning must be 1 or more, got 0"),
        ({"deadline_seconds": -1.0}, "deadline_seconds"),
        ({"seconds_per_fit": exact(0)}, "seconds_per_fit must be above 0"),
        ({"workers": 0}, "workers"),
        ({"confidence": 1.0}, "confidence"),
    ],
)
def test_bad_input(given, words):
    with pytest.raises(ConfigError, match=words):
        Tuning(**{"seconds_per_fit": within(1.0, 0.1), **given})
