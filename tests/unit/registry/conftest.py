"""A registry on SQLite in a new folder, and what its database holds by sqlite3's own reading."""

from __future__ import annotations

import shutil
import sqlite3
import warnings
from pathlib import Path

import pandas as pd
import pytest

from lakemill.core.records import Context
from lakemill.registry import ModelVersion, Registry

CODE = """
import pandas as pd
from pathlib import Path
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

class Times(PythonModel):
    def load_context(self, context):
        self.factor = float(Path(context.artifacts["factor"]).read_text())

    def predict(self, context, model_input: pd.DataFrame, params=None):
        return model_input["x"] * self.factor

set_model(Times())
"""


@pytest.fixture(scope="session", autouse=True)
def _mlflow() -> None:
    """MLflow warns about its own classes when it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """Return a database that MLflow has made, to copy: making one takes a second."""
    folder = tmp_path_factory.mktemp("store")
    opened(folder).models()
    return folder / "mlflow.db"


def opened(folder: Path, **options) -> Registry:
    settings = {
        "tracking_uri": f"sqlite:///{folder}/mlflow.db",
        "artifacts": str(folder / "mlartifacts"),
        "experiment": "demand",
        "context": Context(user="ann"),
        "project_dir": str(folder),
    }
    return Registry(**{**settings, **options})


@pytest.fixture
def folder(tmp_path: Path, empty_store: Path) -> Path:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def registry(folder: Path) -> Registry:
    return opened(folder)


@pytest.fixture
def signature():
    from mlflow.models import infer_signature

    return infer_signature(pd.DataFrame({"x": [1.0]}), pd.Series([2.0]))


@pytest.fixture
def parts(tmp_path: Path, signature):
    """Return what makes a model that multiplies by a factor."""

    def of(factor: float = 2.0, **changed) -> dict:
        code, kept = tmp_path / "times.py", tmp_path / f"factor-{factor}.txt"
        code.write_text(CODE)
        kept.write_text(str(factor))
        made = {"code": code, "artifacts": {"factor": str(kept)}, "signature": signature}
        return {"name": "main.retail.demand", "pip_requirements": ["mlflow", "pandas"], **made, **changed}

    return of


@pytest.fixture
def model(registry: Registry, parts):
    """Register models that multiply by a factor."""

    def register(factor: float = 2.0, **changed) -> ModelVersion:
        with registry.start_run("fit") as run:
            return registry.register(run, **parts(factor, **changed))

    return register


@pytest.fixture
def three(registry: Registry, folder: Path) -> str:
    """Return the name of a model of three versions without files, for what concerns names only."""
    name = "main.retail.demand"
    registry.client.create_registered_model(name)
    for _ in range(3):
        registry.client.create_model_version(name, f"{folder}/nowhere")
    return name


@pytest.fixture
def sql(folder: Path):
    """Return rows of the database, by sqlite3 alone."""

    def rows(query: str) -> list[tuple]:
        connection = sqlite3.connect(f"file:{folder}/mlflow.db?mode=ro", uri=True)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    return rows
