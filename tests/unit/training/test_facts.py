"""What is known of a training before it runs, and after it ran."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lakemill import ManyTraining, Resources, plan, train
from lakemill.core.errors import UnsupportedError
from lakemill.core.records import Context
from lakemill.training.many.facts import GROUP_SECONDS
from lakemill.workspace import Workspace, WorkspaceSettings
from lakemill.workspace.hardware import keep
from lakemill.workspace.history import History
from lakemill.workspace.planning import facts_of, state_of
from tests.unit.workspace.test_hardware import HARDWARE


class Level:
    def __init__(self, level: float) -> None:
        self.level = level

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        return np.full(len(rows), self.level)


def fit(rows: pd.DataFrame) -> Level:
    return Level(rows["y"].mean())


def definition(table: str = "main.a.rows", **changes) -> ManyTraining:
    return ManyTraining(training_set=table, by="k", time="t", fit=fit, registered_model="main.a.model", **changes)


TRAINING = definition()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    sizes = [60, 10, 10, 10, 10]
    k = np.repeat(np.arange(5), sizes)
    settings = WorkspaceSettings.in_folder("facts", tmp_path_factory.mktemp("facts"))
    with Workspace(settings, context=Context(user="tester", run_id="run")) as opened:
        opened.table("main.a.rows").write(pd.DataFrame({"k": k, "t": np.arange(100), "y": 1.0}))
        yield opened


@pytest.fixture(scope="module")
def trained(workspace):
    """The same, its machine measured and its training run."""
    before = facts_of(TRAINING, workspace)
    keep(HARDWARE, state_of(workspace))
    train(workspace, TRAINING)
    return before, facts_of(TRAINING, workspace)


def test_facts_come_from_metadata_until_there_is_history(trained):
    before, after = trained
    assert (
        (before.fits, before.rows, before.largest_share)
        == (after.fits, after.rows, after.largest_share)
        == (5, 100, 0.6)
    )
    assert dict(before.sources)["fits"] == dict(after.sources)["fits"] == "metadata"
    assert before.assumed == ("peak_bytes_per_fit", "seconds_per_fit", "serial_seconds")
    assert after.assumed == ()
    assert dict(after.sources)["seconds_per_fit"] == "history"


def test_what_a_training_took_is_kept_beside_what_was_predicted(workspace, trained):
    before, after = trained
    (past,) = History(workspace.database).newest()
    assert (past.work, past.lane, past.items, past.rows) == ("main.a.model", "local", 5, 100)
    assert 0 < past.item_seconds < past.seconds < 120
    assert past.peak_bytes > 2**25
    assert past.predicted is not None
    assert past.predicted.basis == "assumed"
    assert set(past.stages) == {"start", "prepare", "fit", "register"}
    assert sum(past.stages.values()) < past.seconds
    assert past.predicted.seconds.value > before.serial_seconds.value
    assert after.seconds_per_fit.value == pytest.approx(past.item_seconds / 5, rel=0.5, abs=0.001)
    assert (past.error is not None) == (past.predicted is not None)


def test_a_share_of_a_core_is_a_fact(workspace):
    assert facts_of(definition(resources=Resources(cpus=0.5)), workspace).busy_cores == 0.5


def test_a_declaration_is_planned_and_a_function_is_not(workspace, trained):
    del trained
    made = plan(workspace, TRAINING)
    assert made.plan.choice is not None
    assert (made.plan.choice.lane, made.hardware) == ("local", HARDWARE)
    assert made.facts == facts_of(TRAINING, workspace)
    with pytest.raises(UnsupportedError, match="nothing is known of the work of fit"):
        plan(workspace, fit)


def test_more_rows_a_group_take_longer_in_proportion(workspace, trained):
    _, after = trained
    workspace.table("main.a.more").write(
        pd.DataFrame({"k": np.repeat(np.arange(5), 100), "t": np.arange(500), "y": 1.0})
    )
    grown = facts_of(definition("main.a.more"), workspace)
    own = after.seconds_per_fit.value - GROUP_SECONDS.value
    assert (grown.rows, grown.fits, grown.largest_share) == (500, 5, 0.2)
    assert grown.seconds_per_fit.value == pytest.approx(5 * own + GROUP_SECONDS.value)
