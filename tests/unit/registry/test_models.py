from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from lakemill.core.errors import ConfigError, NotFoundError, SchemaError, TaskError
from lakemill.registry import Evaluation
from tests.unit.registry.conftest import CODE

NAME = "main.retail.demand"


def test_a_registered_model_loads_by_every_name(registry, model):
    version = model(2.0)
    model(3.0)
    registry.set_alias(NAME, "champion", 1, reason="the first")
    rows = pd.DataFrame({"x": [1.0, 2.5]})
    expected = {
        "main.retail.demand": 2.0,
        "main.retail.demand@champion": 2.0,
        "main.retail.demand/1": 2.0,
        "models:/main.retail.demand/2": 3.0,
        version.uri: 2.0,
    }
    for reference, factor in expected.items():
        assert registry.load(reference).predict(rows).tolist() == [factor, 2.5 * factor]


def test_a_version_says_where_it_comes_from(registry, parts):
    with registry.start_run("fit") as run:
        made = registry.register(run, **parts(), tags={"groups": "3"})
    registry.set_alias(NAME, "champion", 1, reason="the first")
    (version,) = registry.versions(NAME)
    assert (version.name, version.version, version.run_id) == (NAME, 1, run.run_id)
    assert (version.uri, version.aliases, version.tags) == (f"models:/{NAME}/1", ("champion",), {"groups": "3"})
    assert datetime.now(UTC) - version.created_at < timedelta(minutes=5)
    assert (made.uri, made.run_id) == (version.uri, version.run_id)


def test_a_stock_client_goes_from_version_to_logged_model_and_run(registry, model, sql):
    version = model()
    (experiment,) = sql(f"select experiment_id from runs where run_uuid = '{version.run_id}'")
    (logged,) = registry.client.search_logged_models([str(experiment[0])])
    assert (logged.source_run_id, str(logged.status)) == (version.run_id, "READY")
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [{"name": NAME, "version": 1}]
    run = registry.client.get_run(version.run_id)
    assert [output.model_id for output in run.outputs.model_outputs] == [logged.model_id]


def test_versions_are_listed_newest_first_and_models_by_name(registry, three):
    registry.client.create_registered_model("main.a.first")
    assert registry.models() == ("main.a.first", three)
    assert [version.version for version in registry.versions(three)] == [3, 2, 1]
    assert registry.versions("main.a.first") == ()


def test_more_versions_than_a_page_are_all_listed(registry, three, monkeypatch):
    from lakemill.registry import registry as module

    monkeypatch.setattr(module, "PAGE", 2)
    registry.client.create_registered_model("main.a.a")
    registry.client.create_registered_model("main.a.b")
    assert [version.version for version in registry.versions(three)] == [3, 2, 1]
    assert registry.models() == ("main.a.a", "main.a.b", three)


@pytest.mark.parametrize(
    ("reference", "message", "hint"),
    [
        ("main.retail.demnd@champion", "no model 'main.retail.demnd'", "did you mean main.retail.demand?"),
        ("main.retail.demand@champoin", "no alias 'champoin'", "did you mean champion?"),
        ("main.retail.demand/4", "no version '4'", "known: 1, 2, 3"),
        ("main.retail.demand/first", "no version 'first'", "known: 1, 2, 3"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(registry, three, reference, message, hint):
    registry.set_alias(three, "champion", 1, reason="")
    for look in (registry.get, registry.load):
        with pytest.raises(NotFoundError, match=message) as error:
            look(reference)
        assert error.value.hint == hint


def test_an_empty_registry_knows_no_model(registry):
    assert registry.models() == ()
    assert registry.find("main.a.b", training="t") is None
    with pytest.raises(NotFoundError, match=r"no model 'main\.a\.b'"):
        registry.versions("main.a.b")


def test_a_version_is_found_by_its_training(registry, three):
    registry.client.set_model_version_tag(three, "2", "lakemill.training", "t-2")
    assert registry.find(three, training="t-2").version == 2
    assert registry.find(three, training="t-3") is None


def test_a_model_without_a_signature_is_refused(registry, parts, signature):
    from mlflow.models import ModelSignature

    half = ModelSignature(inputs=signature.inputs)
    for given, missing in ((None, "inputs"), (half, "outputs")):
        with pytest.raises(SchemaError, match=f"no signature of its {missing}"), registry.start_run("fit") as run:
            registry.register(run, **parts(signature=given))
    assert registry.models() == ()


def test_input_that_breaks_the_signature_is_refused(registry, model):
    from mlflow.exceptions import MlflowException

    model()
    with pytest.raises(MlflowException, match="missing inputs"):
        registry.load(f"{NAME}/1").predict(pd.DataFrame({"y": [1.0]}))


def test_an_example_is_kept_and_must_fit(registry, parts):
    with registry.start_run("fit") as run:
        registry.register(run, **parts(input_example=pd.DataFrame({"x": [7.0]})))
    assert registry.load(f"{NAME}/1").input_example["x"].tolist() == [7.0]
    with pytest.raises(SchemaError, match="does not match"), registry.start_run("fit") as run:
        registry.register(run, **parts(input_example=pd.DataFrame({"y": ["a"]})))
    assert len(registry.versions(NAME)) == 1


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"name": "demand"}, ConfigError, "catalog.schema.model"),
        ({"name": "main.retail/x.demand"}, ConfigError, "catalog.schema.model"),
        ({"code": Path("/nowhere/times.py")}, NotFoundError, "no file /nowhere/times.py"),
        ({"artifacts": {"factor": "/nowhere/factor.txt"}}, NotFoundError, "factor of model"),
    ],
)
def test_what_cannot_be_registered_is_refused(registry, parts, changed, error, message):
    with pytest.raises(error, match=message), registry.start_run("fit") as run:
        registry.register(run, **parts(**changed))
    assert registry.models() == ()


@pytest.mark.parametrize("code", ["import nothing_of_that_name", "1 / 0", CODE.replace("set_model(Times())", "")])
def test_code_that_fails_is_a_task_error(registry, parts, tmp_path, code, monkeypatch):
    import mlflow.models.model

    monkeypatch.setattr(mlflow.models.model, "__mlflow_model__", None)
    (tmp_path / "broken.py").write_text(code)
    with pytest.raises(TaskError, match="the code of model"), registry.start_run("fit") as run:
        registry.register(run, **parts(code=tmp_path / "broken.py"))
    assert registry.models() == ()


def test_an_upload_that_fails_leaves_no_version_and_no_ready_model(registry, parts, sql):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    client = registry.client
    client.log_model_artifacts = refuse
    with pytest.raises(OSError, match="No space"), registry.start_run("fit") as run:
        registry.register(run, **parts())
    assert sql("select count(*) from model_versions") == [(0,)]
    assert sql("select status from logged_models") == [(3,)]
    assert registry.models() == ()


def test_registering_is_seen_whole_or_not_at_all(registry, parts, folder):
    """What a reader sees just before the version's transaction is no version, and all of its files."""
    seen = []
    create = registry.client.create_model_version

    def look_then_create(name, source, **options):
        seen.append(registry.versions(name))
        seen.append(sorted(path.name for path in Path(source.removeprefix("file://")).rglob("*") if path.is_file()))
        return create(name, source, **options)

    registry.client.create_model_version = look_then_create
    with registry.start_run("fit") as run:
        registry.register(run, **parts())
    assert seen[0] == ()
    assert {"MLmodel", "times.py", "factor-2.0.txt", "requirements.txt"} <= set(seen[1])


def test_requirements_are_those_given(registry, model, folder):
    import mlflow

    model(pip_requirements=["pandas==2.3.3", "lakemill"])
    (found,) = folder.rglob("requirements.txt")
    assert sorted(found.read_text().split()) == ["lakemill", f"mlflow=={mlflow.__version__}", "pandas==2.3.3"]


def test_registering_and_loading_say_nothing(registry, model, capfd):
    model()
    registry.load(f"{NAME}/1")
    assert capfd.readouterr() == ("", "")


def test_evaluation_comes_back_as_it_was_registered(registry, parts):
    from lakemill.core.records import to_json

    figure = Evaluation(metric="wrmsse", value=math.pi, of="the mix", data="June", n=3)
    with registry.start_run("fit") as run:
        registry.register(run, **parts(), tags={"lakemill.evaluation": to_json(figure)})
    (version,) = registry.versions(NAME)
    assert registry.evaluation(version) == figure
    assert registry.decision(version) is None
