"""Fits that are tried before a training: fits that sleep, so that the truth is known."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lakemill import ManyTraining, plan
from lakemill.core.errors import TaskError, UnsupportedError
from lakemill.core.records import Context
from lakemill.training.forecasting import Forecasting
from lakemill.training.many.facts import GROUP_SECONDS
from lakemill.workspace import Workspace, WorkspaceSettings
from lakemill.workspace.hardware import keep
from lakemill.workspace.planning import facts_of, state_of
from tests.unit.workspace.test_hardware import HARDWARE

SIZES = np.r_[np.full(100, 2), np.full(60, 10), np.full(40, 40)]
TRUE_SECONDS = 0.02 + 0.001 * SIZES.mean()
TRUE_SHARE = (0.02 + 0.001 * 40) / (TRUE_SECONDS * len(SIZES))


class Level:
    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        return np.ones(len(rows))


def fit(rows: pd.DataFrame) -> Level:
    assert rows["t"].is_monotonic_increasing
    time.sleep(0.02 + 0.001 * len(rows))
    return Level()


def broken(rows: pd.DataFrame) -> Level:
    raise ValueError(f"no fit for {len(rows)} rows")


TRAINING = ManyTraining(training_set="main.a.rows", by="k", time="t", fit=fit, registered_model="main.a.model")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    settings = WorkspaceSettings.in_folder("probed", tmp_path_factory.mktemp("probed"))
    with Workspace(settings, context=Context(user="tester", run_id="run")) as opened:
        keep(HARDWARE, state_of(opened))
        k = np.repeat(np.arange(len(SIZES)), SIZES)
        rows = pd.DataFrame({"k": k, "t": np.arange(len(k))[::-1], "y": 1.0})
        opened.table("main.a.rows").write(rows)
        opened.table("main.a.few").write(rows[rows["k"] < 20])
        yield opened


@pytest.fixture(scope="module")
def probed(workspace):
    return plan(workspace, TRAINING, probe=True)


def test_a_probe_finds_what_the_fits_take(probed):
    facts = probed.facts
    assert facts.seconds_per_fit.low <= TRUE_SECONDS <= facts.seconds_per_fit.high
    assert facts.seconds_per_fit.value == pytest.approx(TRUE_SECONDS + GROUP_SECONDS.value, rel=0.3)
    assert facts.largest_share == pytest.approx(TRUE_SHARE, rel=0.4)
    assert {name for name, source in facts.sources if source == "probe"} == {
        "seconds_per_fit",
        "peak_bytes_per_fit",
        "largest_share",
    }


def test_it_tries_three_at_least_and_says_what_that_took(probed):
    assert 3 <= probed.probed.pieces <= 33
    assert probed.probed.seconds > probed.probed.pieces * 0.02
    assert probed.probed.share == pytest.approx(
        probed.probed.seconds / (TRUE_SECONDS * len(SIZES) / 2 + 5), rel=0.5
    )  # two workers, five assumed seconds beside the fits


def test_nothing_is_tried_unasked(workspace):
    made = plan(workspace, TRAINING)
    assert made.probed is None
    assert made.facts == facts_of(TRAINING, workspace)


def test_where_fits_fail_their_error_is_told(workspace):
    with pytest.raises(TaskError, match="no fit for"):
        plan(workspace, replace(TRAINING, fit=broken, registered_model="main.a.broken"), probe=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training_set": "main.a.few"}, "too few pieces"),
        ({"fit": Forecasting(horizon=2, calendar="main.a.days")}, "little of Forecasting"),
    ],
)
def test_what_can_t_be_tried_is_told(workspace, changes, words):
    if "fit" in changes:
        workspace.table("main.a.days").write(pd.DataFrame({"t": [0]}), mode="overwrite")
    with pytest.raises(UnsupportedError, match=words):
        plan(workspace, replace(TRAINING, registered_model="main.a.other", **changes), probe=True)
