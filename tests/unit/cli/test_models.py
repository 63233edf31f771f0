from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from mlflow.models import infer_signature
from typer.testing import CliRunner

from lakemill.cli.main import app
from lakemill.core.records import to_json
from lakemill.projects import open_workspace
from lakemill.registry import EVALUATION, BetterThan, Evaluation, decide

MODEL = """\
import mlflow
import pandas as pd

class Same(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: pd.DataFrame, params=None):
        return model_input

mlflow.models.set_model(Same())
"""


def figure(value: float, of: str) -> Evaluation:
    return Evaluation(metric="wrmsse", value=value, of=of, data="the last 28 days", n=3732)


def register(folder: Path, *, value: float, opponent: float) -> None:
    code = folder / "model.py"
    code.write_text(MODEL)
    gate = BetterThan(opponent="champion", metric="wrmsse", by=0.01)
    with open_workspace(folder) as workspace, workspace.models.start_run("train") as run:
        run.log_metrics({"wrmsse": value})
        version = workspace.models.register(
            run,
            name="main.shop.demand",
            code=code,
            artifacts={"file": str(code)},
            signature=infer_signature(pd.DataFrame({"x": [1.0]}), pd.DataFrame({"y": [1.0]})),
            pip_requirements=["pandas"],
            tags={EVALUATION: to_json(figure(value, "new"))},
        )
        workspace.models.promote(version, decide(gate, figure(value, "new"), figure(opponent, "old")))


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Path:
    (tmp_path / "lakemill.yml").write_text("bundle: {name: shop}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(*arguments: str) -> list[str]:
    result = CliRunner().invoke(app, ["models", *arguments])
    assert result.exit_code == 0, result.output
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def test_no_models_yet(shop):
    assert shown() == ["no models yet: a job registers them (`lakemill run JOB`)"]
    assert json.loads("".join(shown("--json"))) == {"models": []}
    result = CliRunner().invoke(app, ["models", "main.shop.demand"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no model 'main.shop.demand'" in result.stderr


def test_versions_aliases_and_gates(shop):
    register(shop, value=0.7, opponent=0.8)
    register(shop, value=0.9, opponent=0.7)

    (listed,) = json.loads("".join(shown("--json")))["models"]
    assert (listed["name"], [version["version"] for version in listed["versions"]]) == ("main.shop.demand", [2, 1])
    assert shown()[1] == "main.shop.demand 2 1 2 just now"

    newest, oldest = json.loads("".join(shown("main.shop.demand", "--json")))["model"]["versions"]
    assert (newest["aliases"], oldest["aliases"]) == (["challenger"], ["champion"])
    assert (newest["metrics"]["wrmsse"], oldest["metrics"]["wrmsse"]) == (0.9, 0.7)
    assert (newest["decision"]["passed"], oldest["decision"]["passed"]) == (False, True)
    assert newest["evaluation"]["n"] == 3732

    lines = shown("main.shop.demand")
    assert "2 @challenger wrmsse 0.9 on the last 28 days, n = 3,732 just now" in lines
    assert "1 @champion wrmsse 0.7 on the last 28 days, n = 3,732 just now" in lines
    held = next(line for line in lines if line.startswith("gate of 2"))
    assert held.startswith("gate of 2 held back: wrmsse 0.9 is 28.6 % worse than 0.7")
    assert "wrmsse 0.9" in lines
