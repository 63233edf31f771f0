"""`lakemill advise`, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from lakemill.cli.main import app

TUNING = ("advise", "tuning", "--fit-seconds", "1.5..2.5", "--trials", "64", "--workers", "16")
INFERENCE = ("advise", "inference", "--requests", "20", "--row-seconds", "0.01", "--latency", "0.2")


def asked(*arguments: str, code: int = 0):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == code, done.output
    return done


def test_tuning_as_data():
    advice = json.loads(asked(*TUNING, "--json").stdout)["advice"]
    assert advice["tuning"]["seconds_per_fit"] == {"value": 2.0, "low": 1.5, "high": 2.5}
    assert advice["choice"]["fits"] == 64 * 5 + 1
    assert advice["options"][0]["share"] == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_tuning_for_a_person():
    told = asked(*TUNING).stdout
    assert "models fitted: 64 trials x 5 folds + 1 on all rows = 321" in told
    (choice,) = [line for line in told.splitlines() if line.startswith("choice")]
    assert json.loads(asked(*TUNING, "--json").stdout)["advice"]["choice"]["parallel"] == int(choice.split()[1])


def test_a_grid_and_the_cores_of_this_machine():
    told = asked("advise", "tuning", "--fit-seconds", "2", "--grid", "5,4", "--deadline", "1000").stdout
    assert "grid of 5 x 4 = 20 x 5 folds + 1 on all rows = 101" in told


def test_inference_as_data():
    advice = json.loads(asked(*INFERENCE, "--price", "0.5", "--start", "30", "--json").stdout)["advice"]
    assert (advice["choice"]["mode"], advice["choice"]["money_per_day"]["value"]) == ("real-time", 12.0)
    assert advice["inference"]["start_seconds"]["high"] == 30
    assert [criterion for criterion, _ in advice["ranks"]] == ["latency", "throughput", "cost", "freshness"]


def test_inference_for_a_person():
    lines = asked(*INFERENCE).stdout.splitlines()
    assert {line.split()[1]: line.split()[0] for line in lines[1:4]} == {
        "batch": "refused",
        "real-time": "choice",
        "streaming": "refused",
    }
    assert any("200 ms allowed" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*TUNING[:2], "--fit-seconds", "soon"), "--fit-seconds: expected a number or LOW..HIGH, got 'soon'"),
        ((*TUNING[:2], "--fit-seconds", "3..1"), "an interval needs 0 <= low"),
        ((*TUNING[:2], "--fit-seconds", "0"), "seconds_per_fit must be above 0"),
        ((*TUNING, "--sampler", "tep"), "did you mean tpe?"),
        ((*TUNING[:4], "--grid", "5,x"), "--grid: expected whole numbers"),
        ((*INFERENCE, "--peak", "3"), "peak_requests_per_second of Inference must be 20 or more"),
    ],
)
def test_bad_input(arguments, words):
    assert words in asked(*arguments, code=2).output


def test_advice_opens_no_engine_and_no_optuna():
    code = (
        "import sys; from lakemill.cli.main import app; app(sys.argv[1:], standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *TUNING], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"optuna", "sklearn", "scipy", "pandas", "ray", "pyspark", "torch", "duckdb", "mlflow"}
