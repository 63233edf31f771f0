"""Trainings end to end: what they register, what they refuse, how some groups are trained again."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
import warnings
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lakemill.core.errors import ConfigError, NotFoundError, SchemaError, TaskError
from lakemill.core.records import Context
from lakemill.registry import BetterThan
from lakemill.training.many import GroupResult, ManyTraining, train
from lakemill.training.many.session import Session
from lakemill.training.many.train import fit_groups
from lakemill.workspace import Workspace, WorkspaceSettings, execute

MODEL = "main.a.model"
VALUES = {"a": [1.0, 2.0], "b": [3.0, 5.0], "c": [-1.0, 1.0], "d": [-2.0, 2.0], "e": [7.0, 7.0]}


@pytest.fixture(scope="module", autouse=True)
def _mlflow() -> None:
    """MLflow warns about its own classes when it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


class Level:
    def __init__(self, level: float) -> None:
        self.level = level

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        return np.full(len(rows), self.level)


def fit(rows: pd.DataFrame) -> GroupResult:
    if (rows["y"] < 0).any():
        raise ValueError("negative")
    return GroupResult(model=Level(rows["y"].mean()), metrics={"spread": float(np.ptp(rows["y"]))})


def rows(values: dict[str, list[float]]) -> pa.Table:
    found = [(key, day, y) for key, series in values.items() for day, y in enumerate(series)]
    return pa.Table.from_pylist([dict(zip("kty", row, strict=True)) for row in found])


def definition(**changes: object) -> ManyTraining:
    given = {"training_set": "main.a.rows", "by": "k", "time": "t", "fit": fit, "registered_model": MODEL}
    return ManyTraining(**{**given, **changes})


def open_workspace(folder) -> Workspace:
    settings = WorkspaceSettings.in_folder("many", folder)
    return Workspace(settings, context=Context(user="tester", run_id="run"))


@pytest.fixture
def workspace(tmp_path):
    with open_workspace(tmp_path) as opened:
        opened.catalog.write("main.a.rows", rows(VALUES))
        yield opened


def levels(workspace: Workspace, version: int) -> dict[str, float]:
    """Return what each group of a version predicts, by MLflow's own way of loading it."""
    model = workspace.models.load(f"{MODEL}/{version}")
    found = model.predict(pd.DataFrame({"k": list(VALUES), "t": 9, "y": 0.0}))
    return dict(zip(found["k"], found["prediction"], strict=True))


def ledger(workspace: Workspace, training: str) -> list[str]:
    table = workspace.table(f"{MODEL}_failures").to_pandas()
    return sorted(table[table["training"] == training]["k"])


def test_train_failed_groups_again_then_given_ones_each_into_a_new_version(workspace):
    gate = BetterThan(opponent="champion", metric="spread", by=0.0)
    first = train(workspace, definition(gate=gate))
    assert (first.version.version, first.groups, first.failed) == (1, 5, 2)
    assert levels(workspace, 1) == {"a": 1.5, "b": 4.0, "e": 7.0}
    assert ledger(workspace, first.training) == ["c", "d"]

    mended = VALUES | {"a": [100.0, 100.0], "c": [4.0, 6.0]}  # a is new as well, but not asked for
    workspace.catalog.write("main.a.rows", rows(mended), mode="overwrite")
    second = train(workspace, definition(gate=gate), only="failed")
    assert (second.version.version, second.groups, second.failed) == (2, 5, 1)
    assert second.version.tags["lakemill.base"] == "1"
    assert levels(workspace, 2) == {"a": 1.5, "b": 4.0, "c": 5.0, "e": 7.0}
    assert ledger(workspace, second.training) == ["d"]
    assert workspace.models.evaluation(second.version).value == pytest.approx((1 + 2 + 2 + 0) / 4)
    assert workspace.models.evaluation(second.version).n == 4

    assert train(workspace, definition(gate=gate), only="failed").version.version == 2  # done is not done again

    third = train(workspace, definition(gate=gate), only=["a"], base=2)
    assert (third.version.version, third.groups, third.failed) == (3, 5, 1)
    assert levels(workspace, 3) == {"a": 100.0, "b": 4.0, "c": 5.0, "e": 7.0}
    assert levels(workspace, 2)["a"] == 1.5


def test_a_declaration_is_executed_and_tells_what_came_of_it(workspace):
    text = execute(definition(), workspace)
    assert text == f"{MODEL} version 1: 3 models, 2 failed"
    assert not list(workspace.folder("staging").iterdir())
    nothing = train(workspace, definition(), only=["a", "b"])
    assert nothing.version.version == 2
    with pytest.raises(NotFoundError, match="no rows of x, z"):
        train(workspace, definition(), only=["a", "x", "z"])
    with pytest.raises(SchemaError, match="cannot have"):
        train(workspace, definition(), only=[3])
    for only in ("a", [], [("a", "b")]):
        with pytest.raises(ConfigError, match="names no groups"):
            train(workspace, definition(), only=only)
    with pytest.raises(NotFoundError, match="version '9'"):
        train(workspace, definition(), only="failed", base=9)


def test_where_every_group_fails_the_training_says_so(workspace):
    workspace.catalog.write("main.a.rows", rows({"c": VALUES["c"], "d": VALUES["d"]}), mode="overwrite")
    for _ in range(2):  # also when it is repeated
        with pytest.raises(TaskError, match=r"all 2 groups failed in phase fit; the last one: ValueError: negative"):
            train(workspace, definition())
    assert workspace.models.models() == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"by": "product"}, "product"), ({"time": "day"}, "day"), ({"training_set": "main.a.row"}, "main.a.row")],
)
def test_what_the_training_set_lacks_is_named(workspace, changes, message):
    with pytest.raises((SchemaError, NotFoundError), match=message):
        train(workspace, definition(**changes))


def test_an_empty_training_set_and_rows_without_a_key_are_refused(workspace):
    workspace.catalog.write("main.a.rows", rows(VALUES).slice(0, 0), mode="overwrite")
    with pytest.raises(SchemaError, match="empty"):
        train(workspace, definition())
    keyless = pa.table({"k": ["a", None], "t": [0, 1], "y": [1.0, 2.0]})
    workspace.catalog.write("main.a.rows", keyless, mode="overwrite")
    with pytest.raises(SchemaError, match="1 rows have no k"):
        train(workspace, definition())


def test_a_gate_on_what_was_not_measured_registers_nothing(workspace):
    with pytest.raises(ConfigError, match=r"metric 'spreed', which was not measured\n.*did you mean spread"):
        train(workspace, definition(gate=BetterThan(opponent="champion", metric="spreed")))
    assert workspace.models.models() == ()


def test_what_has_no_predict_is_no_model(workspace):
    with pytest.raises(TaskError, match=r"a model of type float, which has no predict\(rows\)"):
        train(workspace, definition(fit=lambda rows: float(rows["y"].mean())))
    with pytest.raises(TaskError, match="no group has a model"):
        train(workspace, definition(fit=lambda _: None))


def test_the_run_says_what_was_read_where_the_results_are_and_how_long_it_took(workspace):
    def slow(rows: pd.DataFrame) -> Level:
        time.sleep(0.5)
        return Level(rows["y"].mean())

    workspace.catalog.write(f"{MODEL}_features", rows(VALUES))  # has the prefix of the results, and is none
    trained = train(workspace, definition(fit=slow))
    run = workspace.models.client.get_run(trained.version.run_id)
    version = {name: workspace.catalog.ref(f"{MODEL}_{name}").version for name in ("models", "metrics", "failures")}
    results = {name: value for name, value in run.data.tags.items() if name.startswith("lakemill.result.")}
    assert results == {f"lakemill.result.{MODEL}_{name}": str(number) for name, number in version.items()}
    assert run.data.tags["lakemill.table.main.a.rows"] == "1"
    assert run.data.metrics["run_seconds"] > 0.5 * 5 / 64  # the fits are part of it, however many ran at a time
    assert 0.5 * 5 < run.data.metrics["fit_seconds"] < 64 * run.data.metrics["run_seconds"]
    assert 2**25 < run.data.metrics["fit_peak_bytes"] < 2**31  # an interpreter with pandas and little else


PROJECT = """
import numpy as np
import house

class Mean:
    def __init__(self, level):
        self.level = level
    def predict(self, rows):
        assert str(rows["t"].dtype).startswith("datetime64") and rows["t"].dt.tz is not None
        return np.full(len(rows), house.TWICE * self.level)

def fit(rows):
    return Mean(rows["y"].mean())
"""
ELSEWHERE = """
import sys
import mlflow
import pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
rows = pd.DataFrame({"k": ["b", "a"], "t": pd.to_datetime(["2026-01-01"] * 2, utc=True), "y": 0.0})
print(mlflow.pyfunc.load_model("models:/main.a.model/1").predict(rows).to_dict("list"))
"""


def test_a_stock_client_elsewhere_predicts_with_classes_of_the_project_at_times_with_a_zone(tmp_path, monkeypatch):
    """The code comes with the model: the process that loads it sees neither the project nor its folder."""
    project, away = tmp_path / "project", tmp_path / "away"
    for folder in (project, away):
        folder.mkdir()
    (project / "house.py").write_text("TWICE = 2\n")
    (project / "house_steps.py").write_text(PROJECT)
    monkeypatch.syspath_prepend(project)
    house_steps = importlib.import_module("house_steps")
    days = pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * 4, pa.timestamp("us", tz="UTC"))
    with open_workspace(project) as workspace:
        workspace.catalog.write(
            "main.a.rows", pa.table({"k": ["a", "a", "b", "b"], "t": days, "y": [1.0, 2.0, 3.0, 5.0]})
        )
        train(workspace, definition(fit=house_steps.fit))
        found = workspace.models.load(f"{MODEL}/1").predict(workspace.table("main.a.rows").to_pandas())
        assert found["prediction"].tolist() == [3.0, 3.0, 8.0, 8.0]
        assert sys.path[0] == str(project)  # the copy that came with the model hides nothing
        store = workspace.settings.tracking
    command = [sys.executable, "-P", "-c", ELSEWHERE, store]
    done = subprocess.run(command, cwd=away, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "{'k': ['b', 'a'], 'prediction': [8.0, 3.0]}", done.stderr


def test_an_edit_of_a_helper_makes_another_training(workspace):
    def trainings(factor: float) -> str:
        def scaled(rows: pd.DataFrame) -> float:
            return factor * rows["y"].mean()

        return Session(workspace, definition(fit=lambda rows: Level(scaled(rows)))).id

    assert trainings(1.0) == trainings(1.0) != trainings(2.0)


@pytest.mark.parametrize(
    "changes", [{"by": ()}, {"item_seconds": 0}, {"registered_model": "model"}, {"fit": "steps:fit"}]
)
def test_impossible_declarations_are_refused_at_birth(changes):
    with pytest.raises(ConfigError):
        definition(**changes)


def test_names_that_sql_and_the_packs_use_may_be_columns(tmp_path):
    """Columns of any name, several of them the key, and times out of order."""
    data = pa.table({"pack": ["x", "x", "y"], "group by": [1, 1, 2], "t": [2, 1, 1], "cost": [1.0, 2.0, 3.0]})

    def last(rows: pd.DataFrame) -> GroupResult:
        return GroupResult(model=None, metrics={"last": rows["cost"].iloc[-1]})

    with open_workspace(tmp_path) as workspace:
        workspace.catalog.write("main.a.rows", data)
        session = Session(workspace, definition(by=("pack", "group by"), fit=last))
        fit_groups(session)
        found = workspace.table(f"{MODEL}_metrics").to_pandas().set_index(["pack", "group by"])["value"]
    assert found.to_dict() == {("x", 1): 1.0, ("y", 2): 3.0}
