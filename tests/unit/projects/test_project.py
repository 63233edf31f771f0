from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from lakemill.core.config import Document, validate
from lakemill.core.errors import ConfigError
from lakemill.projects import json_schema
from lakemill.projects.project import Cluster, Job, ProjectFile

WRITTEN = Path(__file__).parents[3] / "docs" / "lakemill.schema.json"
UPDATE = "python -c 'import json, lakemill.projects as p; print(json.dumps(p.json_schema(), indent=2))' > docs/lakemill.schema.json"


def test_the_schema_in_the_documentation_is_current():
    assert json.loads(WRITTEN.read_text()) == json_schema(), UPDATE


def test_the_schema_is_one_and_knows_what_the_reader_knows():
    Draft202012Validator.check_schema(json_schema())
    schema = Draft202012Validator(json_schema())
    good = {
        "bundle": {"name": "x"},
        "variables": {"n": {"default": 3, "type": "integer"}},
        "targets": {"p": {"mode": "production", "compute": {"frames": {"kind": "spark", "master": "spark://h:1"}}}},
        "resources": {
            "jobs": {
                "j": {"tasks": [{"task_key": "t", "python": "m:f", "max_retries": "${var.n}", "run_if": "ALL_DONE"}]}
            }
        },
    }
    assert list(schema.iter_errors(good)) == []
    for bad in (
        {},
        {"bundle": {"name": "x"}, "nope": 1},
        {"bundle": {"name": "x"}, "resources": {"jobs": {"j": {"tasks": [{"task_key": "t", "python": "m"}]}}}},
        {
            "bundle": {"name": "x"},
            "resources": {"jobs": {"j": {"tasks": [{"task_key": "t", "python": "m:f", "max_retries": "two"}]}}},
        },
        {"bundle": {"name": "x"}, "targets": {"p": {"mode": "prod"}}},
    ):
        assert not schema.is_valid(bad)


def test_every_key_is_described():
    parts = [json_schema(), *json_schema()["$defs"].values()]
    assert [key for part in parts for key, value in part["properties"].items() if not value.get("description")] == []


@pytest.mark.parametrize("key", ["address", "master"])
def test_a_cluster_may_be_addressed_as_spark_does(key):
    document = Document(f"{key}: spark://h:7077\nkind: spark\n", "f.yml")
    assert validate(document.data, Cluster, document).spec().address == "spark://h:7077"


def test_one_address_is_enough():
    document = Document("address: a\nmaster: b\n", "f.yml")
    with pytest.raises(ConfigError, match=r"f\.yml:2:1: unknown key 'master'"):
        validate(document.data, Cluster, document)


def test_a_job_survives_its_json():
    document = Document(
        "tasks: [{task_key: t, python: 'm:f', depends_on: [{task_key: s, outcome: 'yes'}], timeout_seconds: 1}]",
        "f.yml",
    )
    job = validate(document.data, Job, document)
    assert Job.model_validate_json(job.model_dump_json()) == job
    assert job.tasks[0].depends_on[0].outcome == "yes"


def test_defaults_are_those_of_asset_bundles():
    document = Document("bundle: {name: x}\nresources: {jobs: {j: {tasks: [{task_key: t, python: 'm:f'}]}}}\n", "f.yml")
    task = validate(document.data, ProjectFile, document).resources.jobs["j"].tasks[0]
    assert (task.max_retries, task.min_retry_interval_millis, task.retry_on_timeout, task.timeout_seconds) == (
        0,
        0,
        False,
        0,
    )
    assert task.run_if == "ALL_SUCCESS"
