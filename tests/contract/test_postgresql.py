"""A workspace whose metadata, jobs and MLflow store are in PostgreSQL is one as any other."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa

from lakemill.core.errors import AlreadyExistsError, DuplicateKeyError, NotFoundError
from lakemill.projects import load_project, open_workspace, run_job, runs

STEPS = """
import lakemill as lm
import pandas as pd

class Level:
    def __init__(self, level):
        self.level = level
    def predict(self, rows):
        return [self.level] * len(rows)

def load(ws):
    ws.table("main.a.rows").write(pd.DataFrame({"k": [1, 1, 2], "t": [0, 1, 0], "y": [1.0, 3.0, 5.0]}))

train = lm.ManyTraining(
    training_set="main.a.rows", by="k", time="t", fit=lambda rows: Level(rows["y"].mean()), registered_model="main.a.model"
)
"""


@pytest.fixture(scope="module")
def project(postgresql, tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    urls = {"metadata": postgresql("lakemill"), "tracking": postgresql("mlflow")}
    (folder / "steps.py").write_text(STEPS)
    (folder / "lakemill.yml").write_text(f"""\
bundle: {{name: pg}}
targets: {{prod: {{workspace: {{metadata: '{urls["metadata"]}', tracking: '{urls["tracking"]}'}}}}}}
resources:
  jobs:
    j:
      tasks:
        - {{task_key: load, python: "steps:load"}}
        - {{task_key: train, python: "steps:train", depends_on: [{{task_key: load}}]}}
""")
    return load_project(folder)


def test_a_job_trains_and_registers(project):
    run = run_job(project, "j")
    assert [(task.task_key, task.status) for task in run.tasks] == [("load", "success"), ("train", "success")]
    assert runs(project) == (run,)
    with open_workspace(project.path) as ws:
        found = ws.models.load("main.a.model/1").predict(pd.DataFrame({"k": [2, 1], "t": [0, 0], "y": [0.0, 0.0]}))
        ws.models.set_alias("main.a.model", "champion", 1, reason="the first")
        assert [(move.before, move.after, move.reason) for move in ws.models.history("main.a.model", "champion")] == [
            (None, 1, "the first")
        ]
        assert [(access.kind, access.task_key) for access in ws.catalog.lineage("main.a.rows")] == [
            ("write", "load"),
            ("read", "train"),
        ]
    assert found["prediction"].tolist() == [5.0, 2.0]


def test_the_catalog_keeps_names_keys_tags_and_lineage(project):
    rows = pa.table({"k": [1, 2], "v": ["a", "b"]})
    with open_workspace(project.path) as ws:
        catalog = ws.catalog
        catalog.create_table("main.pg.t", rows.schema, primary_keys=["k"], comment="c", tags={"owner": "ann"})
        with pytest.raises(AlreadyExistsError):
            catalog.create_table("main.pg.t", rows.schema)
        catalog.write("main.pg.t", rows, mode="merge")
        catalog.write("main.pg.t", pa.table({"k": [2, 3], "v": ["B", "c"]}), mode="merge")
        with pytest.raises(DuplicateKeyError):
            catalog.write("main.pg.t", pa.table({"k": [4, 4], "v": ["x", "y"]}), mode="merge")
        catalog.tag("main.pg.t", owner="bob", level="gold")
        info = catalog.info("main.pg.t")
        assert (info.primary_keys, info.comment, info.tags) == (("k",), "c", {"owner": "bob", "level": "gold"})
        assert sorted(ws.sql("select k, v from t", t="main.pg.t").fetchall()) == [(1, "a"), (2, "B"), (3, "c")]
        for _ in range(2):  # the same read twice is one entry
            catalog.record_read(catalog.ref("main.pg.t", version=2))
        assert [(access.kind, access.version) for access in catalog.lineage("main.pg.t")] == [
            ("write", 1),
            ("write", 2),
            ("read", 2),
        ]
        catalog.drop_table("main.pg.t")
        with pytest.raises(NotFoundError):
            catalog.ref("main.pg.t")


def test_nothing_of_it_is_in_a_file(project):
    with open_workspace(project.path) as ws, ws.database.reading() as connection:
        assert connection.dialect.name == "postgresql"
        assert "tables" in sa.inspect(connection).get_table_names()
        assert not list(ws.folder().glob("*.db"))
