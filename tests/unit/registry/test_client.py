from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from lakemill.core.errors import AlreadyExistsError, ConfigError, NotFoundError, StorageError
from lakemill.core.records import Context
from lakemill.registry import Registry
from tests.unit.registry.conftest import opened


@pytest.mark.parametrize(
    "uri", ["", "mlruns", "/tmp/mlruns", "file:///tmp/mlruns", "sqlite://", "sqlite:///:memory:", "ftp://host/x"]
)
def test_what_names_no_store_is_refused(tmp_path, uri):
    with pytest.raises(ConfigError, match="tracking names a SQLite file, a database or an MLflow server"):
        opened(tmp_path, tracking_uri=uri)


def test_a_registry_opens_nothing_before_it_is_asked(tmp_path):
    opened(tmp_path / "deep")
    assert list(tmp_path.iterdir()) == []


def test_mlflow_is_imported_only_when_asked():
    code = "import sys, lakemill.registry as r; r.BetterThan(opponent='champion', metric='m'); print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_new_store_is_made_below_a_new_folder(tmp_path):
    registry = opened(tmp_path / "deep" / "er")
    assert registry.models() == ()
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["mlflow.db"]
    default = registry.client.get_experiment("0")
    assert default.artifact_location == f"{tmp_path}/deep/er/mlartifacts/0"


def test_a_store_that_could_not_be_made_whole_is_not_there(tmp_path, monkeypatch):
    import mlflow.store.db.utils

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(mlflow.store.db.utils, "_upgrade_db", die)
        with pytest.raises(KeyboardInterrupt):
            opened(tmp_path).models()
    assert list(tmp_path.iterdir()) == []
    assert opened(tmp_path).models() == ()


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    (tmp_path / "mlflow.db").write_text("notes of mine")
    with pytest.raises(ConfigError, match="is not an SQLite database"):
        opened(tmp_path).models()
    assert (tmp_path / "mlflow.db").read_text() == "notes of mine"


def test_a_database_of_another_schema_says_what_to_do(folder, tmp_path):
    import sqlite3

    connection = sqlite3.connect(folder / "mlflow.db")
    connection.execute("update alembic_version set version_num = '451aebb31d03'")
    connection.commit()
    connection.close()
    with pytest.raises(StorageError, match="out-of-date database schema") as error:
        opened(folder).models()
    assert "mlflow db upgrade" in error.value.hint


def test_a_folder_that_is_a_file_is_a_storage_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file"):
        opened(tmp_path / "file").models()


def test_a_server_that_is_not_there_is_told_at_once(tmp_path, unused_port):
    registry = opened(tmp_path, tracking_uri=f"http://127.0.0.1:{unused_port}")
    with pytest.raises(StorageError, match=r"no MLflow server answers .* Connection refused"):
        registry.models()


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_what_mlflow_raises_is_told_as_ours(registry, three):
    with pytest.raises(AlreadyExistsError, match=three):
        registry.client.create_registered_model(three)
    with pytest.raises(NotFoundError):
        registry.client.get_run("0" * 32)
    with pytest.raises(ConfigError):
        registry.client.create_registered_model("a/b")


def test_a_password_is_not_told(tmp_path):
    from lakemill.registry.client import _translated

    error = _translated("", "refused", "postgresql://ml:secret@db/mlflow")
    assert "secret" not in str(error)
    assert "ml:***@db" in str(error)


def test_opening_says_nothing(tmp_path, capfd, caplog):
    with caplog.at_level(logging.INFO, "mlflow"), opened(tmp_path).start_run("quiet"):
        pass
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_the_user_s_own_settings_are_put_back(registry, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "true")
    monkeypatch.delenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", raising=False)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: registry.models(), range(40)))
    assert os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] == "true"
    assert "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT" not in os.environ


def test_the_log_of_the_user_s_own_calls_is_kept(registry, caplog):
    import mlflow.store.db.utils

    registry.models()
    with caplog.at_level(logging.INFO, "mlflow.store.db.utils"):
        mlflow.store.db.utils._logger.info("mine")
    assert [record.message for record in caplog.records] == ["mine"]


def test_a_stock_client_beside_it_is_not_disturbed(tmp_path, folder, parts, empty_store, monkeypatch):
    import shutil

    import mlflow

    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(empty_store, other / "mlflow.db")
    monkeypatch.chdir(other)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other}/mlflow.db")
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    registry = opened(folder)
    with mlflow.start_run(run_name="mine") as mine:
        with registry.start_run("ours") as run:
            registry.register(run, **parts())
            mlflow.log_metric("loss", 1.0)
            registry.load("main.retail.demand/1")
        assert mlflow.active_run().info.run_id == mine.info.run_id
    assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri()) == before
    assert os.environ["MLFLOW_TRACKING_URI"] == before[0]
    assert [run.info.run_name for run in mlflow.MlflowClient().search_runs(["0"])] == ["mine"]
    assert mlflow.MlflowClient().search_registered_models() == []
    assert [path.name for path in other.iterdir()] == ["mlflow.db"]


STOCK = """
import json, sys, math
import pandas as pd
import mlflow

mlflow.set_experiment("demand")
with mlflow.start_run(run_name="parent") as parent:
    with mlflow.start_run(run_name="child", nested=True) as child:
        mlflow.log_metric("loss", 0.5, step=1)
        mlflow.log_metric("loss", 0.25, step=2)
    rows = mlflow.data.from_pandas(pd.DataFrame({"x": [1.0]}), name="rows")
    mlflow.log_input(rows, context="training")
client = mlflow.MlflowClient()
identity = client.get_experiment_by_name("demand").experiment_id

def order(direction):
    found = client.search_runs([identity], "tags.kind = 'ranked'", order_by=[f"metrics.x {direction}"])
    return [run.info.run_name for run in found]

model = mlflow.pyfunc.load_model("models:/main.retail.demand@champion")
print(json.dumps({
    "down": order("DESC"), "up": order("ASC"),
    "history": [[m.step, m.value] for m in client.get_metric_history(child.info.run_id, "loss")],
    "parent": client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == parent.info.run_id,
    "inputs": [i.dataset.name for i in client.get_run(parent.info.run_id).inputs.dataset_inputs],
    "predicted": model.predict(pd.DataFrame({"x": [21.0]})).tolist(),
    "versions": [v.version for v in client.search_model_versions("name = 'main.retail.demand'")],
}))
"""


def test_mlflow_s_own_client_works_on_the_store_in_its_own_process(registry, model, folder, tmp_path):
    model(2.0)
    registry.set_alias("main.retail.demand", "champion", 1, reason="")
    for name, value in {"b": 2.0, "none": None, "c": 3.0, "a": 1.0}.items():
        with registry.start_run(name, tags={"kind": "ranked"}) as run:
            run.log_metrics({} if value is None else {"x": value})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "MLFLOW_TRACKING_URI": registry.client.tracking_uri}
    done = subprocess.run(
        [sys.executable, "-c", STOCK], cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "down": ["c", "b", "a", "none"],
        "up": ["a", "b", "c", "none"],
        "history": [[1, 0.5], [2, 0.25]],
        "parent": True,
        "inputs": ["rows"],
        "predicted": [42.0],
        "versions": [1],
    }
    assert list(elsewhere.iterdir()) == []


def test_engines_and_project_are_optional(tmp_path):
    Registry(tracking_uri="https://mlflow.example.org", artifacts="x", experiment="demand", context=Context(user="ann"))
