"""What comes of one group, and of one pack of groups, in the child process."""

from __future__ import annotations

import pickle
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from lakemill.core.errors import ConfigError
from lakemill.engines.process import Attempt, Loss
from lakemill.training.many import GroupResult, ManyTraining
from lakemill.training.many.functions import ROWS, fit_phase
from lakemill.training.many.groups import fit_pack
from lakemill.training.many.rows import SUFFIX, read_rows, schema_of, write_rows
from lakemill.training.many.staging import Staging


def definition(fit, **outputs: dict[str, str]) -> ManyTraining:
    return ManyTraining(
        training_set="main.a.rows", by="k", time="t", fit=fit, registered_model="main.a.m", outputs=outputs
    )


def fitted(root: Path, fit, *, losses=(), announced=None, **outputs):
    """Fit a pack of groups a, b, c in this process; return its manifest and its tables."""
    staging = Staging(root)
    path = staging.pack_file(ROWS, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rows(path, pa.table({"k": list("aabbc"), "t": [0, 1, 0, 1, 0], "y": [1.0, 2.0, 3.0, 4.0, 5.0]}))
    attempt = Attempt(tuple(losses), (announced if announced is not None else []).append)
    manifest = fit_pack(fit_phase(definition(fit, **outputs)), str(root), 0, attempt)
    folder = staging.result("fit", 0)
    written = {file.stem: read_rows(file).to_pylist() for file in folder.glob(f"*{SUFFIX}")}
    return manifest, {"failures": []} | written


def test_a_bare_model_is_a_result(tmp_path):
    manifest, tables = fitted(tmp_path, lambda rows: rows["y"].sum())
    assert {row["k"]: pickle.loads(row["model"]) for row in tables["models"]} == {"a": 3.0, "b": 7.0, "c": 5.0}
    assert tables["metrics"] == tables["failures"] == []
    assert (manifest.pack, manifest.groups, manifest.failed, manifest.last_failure) == (0, 3, 0, "")


def test_metrics_and_tables_have_their_group_and_their_declared_types(tmp_path):
    def fit(rows):
        last = pd.DataFrame({"y": rows["y"].iloc[-1:], "unasked": 1})
        return GroupResult(metrics={"n": len(rows), "max": rows["y"].max()}, tables={"last": last})

    _, tables = fitted(tmp_path, fit, last={"y": "float32"})
    assert tables["metrics"][:2] == [{"k": "a", "metric": "n", "value": 2.0}, {"k": "a", "metric": "max", "value": 2.0}]
    assert tables["last"] == [{"k": "a", "y": 2.0}, {"k": "b", "y": 4.0}, {"k": "c", "y": 5.0}]
    schema = schema_of(Staging(tmp_path).result_file("fit", 0, "last"))
    assert schema.field("y").type == pa.float32()


class Sullen(Exception):
    def __str__(self) -> str:
        raise RuntimeError


BAD = {
    "undeclared table": (lambda: GroupResult(tables={"lost": pd.DataFrame({"y": [1]})}), "SchemaError"),
    "lacking column": (lambda: GroupResult(tables={"last": pd.DataFrame({"x": [1]})}), "SchemaError"),
    "wrong type": (lambda: GroupResult(tables={"last": pd.DataFrame({"y": ["text"]})}), "Arrow"),
    "lost digits": (lambda: GroupResult(tables={"last": pd.DataFrame({"y": [1.5]})}), "Arrow"),
    "metric no number": (lambda: GroupResult(metrics={"m": "much"}), "ValueError"),
    "model that cannot be kept": (lambda: (number for number in ()), "TypeError"),
    "text no one can store": (lambda: (_ for _ in ()).throw(ValueError("\udcff")), "ValueError: \\udcff"),
    "endless text": (lambda: (_ for _ in ()).throw(ValueError("x" * 10**6)), "ValueError: xxx"),
    "error that cannot tell": (lambda: (_ for _ in ()).throw(Sullen()), "Sullen"),
}


@pytest.mark.parametrize("what", BAD)
def test_whatever_is_wrong_with_a_result_is_its_own_groups_failure(tmp_path, what):
    bad, message = BAD[what]
    manifest, tables = fitted(
        tmp_path, lambda rows: bad() if rows["k"].iloc[0] == "b" else len(rows), last={"y": "int64"}
    )
    (failure,) = tables["failures"]
    assert (failure["k"], failure["phase"], failure["kind"]) == ("b", "fit", "exception")
    assert message in failure["message"]
    assert len(failure["message"]) <= 2_000
    assert [row["k"] for row in tables["models"]] == ["a", "c"]
    assert (manifest.groups, manifest.failed) == (3, 1)


def test_a_group_whose_verdict_is_final_is_not_tried_and_the_others_are(tmp_path):
    announced: list[str] = []
    loss = Loss(kind="timeout", item='["b"]', message="no result after 2 s")
    _, tables = fitted(tmp_path, len, losses=[loss], announced=announced)
    assert [(row["k"], row["kind"], row["message"]) for row in tables["failures"]] == [
        ("b", "timeout", "no result after 2 s")
    ]
    assert announced == ['["a"]', '["c"]', ""]


def test_a_finished_pack_whose_reply_was_lost_is_not_fitted_again(tmp_path):
    calls: list[str] = []

    def fit(rows):
        calls.append(rows["k"].iloc[0])

    first, _ = fitted(tmp_path, fit)
    second, _ = fitted(tmp_path, fit)
    assert second == first
    assert calls == ["a", "b", "c"]


def test_groups_that_stand_in_the_spool_are_not_fitted_again(tmp_path):
    calls: list[str] = []

    def fit(rows):
        calls.append(rows["k"].iloc[0])
        if calls == ["a", "b"]:
            raise KeyboardInterrupt
        return len(calls)

    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, fit)
    _, tables = fitted(tmp_path, fit)
    assert calls == ["a", "b", "b", "c"]
    assert {row["k"]: pickle.loads(row["model"]) for row in tables["models"]} == {"a": 1, "b": 3, "c": 4}


def test_an_unknown_type_is_refused_before_anything_is_fitted():
    with pytest.raises(ConfigError, match="floaty"):
        fit_phase(definition(len, last={"y": "floaty"}))
