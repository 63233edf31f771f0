"""A pyfunc from code: written, uploaded and made ready before anyone can see it."""

from __future__ import annotations

import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lakemill.core.errors import ConfigError, NotFoundError, SchemaError, TaskError
from lakemill.core.records import record
from lakemill.registry.client import Client, mlflow_calls
from lakemill.registry.runs import Run

_NAME = re.compile(r"\w+\.\w+\.\w+", re.ASCII)
# The first asks for what a signature gives, the second is about MLflow's own classes.
_ADVICE = (".*An input example was not provided", ".*Any type hint is inferred as AnyType")
_CODE_FAILS = ("Failed to import code model", "Failed to run user code", "If the model is logged as code")


@record
class PyFunc:
    """What a model is made of.

    Parameters
    ----------
    name
        Three-level name under which it will be registered.
    code
        Python file that calls ``mlflow.models.set_model``.
    artifacts
        Files or folders that the model opens, by name.
    signature
        MLflow signature of input and output.
    input_example
        Rows that fit the signature, kept with the model.
    pip_requirements
        What must be installed to load it; to have MLflow find out would cost seconds and a process.
    code_paths
        Modules and packages that the model imports and nobody installs; copied beside it.

    Raises
    ------
    ConfigError
        If the name has not three levels.
    SchemaError
        If there is no signature, or only half of one.
    NotFoundError
        If the code or an artifact is not there.
    """

    name: str
    code: Path
    artifacts: Mapping[str, str]
    signature: Any
    input_example: Any
    pip_requirements: Sequence[str]
    code_paths: Sequence[Path] = ()

    def __post_init__(self) -> None:
        """Refuse what MLflow would let through, or tell less clearly."""
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"a model is named catalog.schema.model, three parts of letters, digits and underscores; "
                f"got {self.name!r}",
                hint="for example main.retail.demand",
            )
        for half in ("inputs", "outputs"):
            if getattr(self.signature, half, None) is None:
                raise SchemaError(
                    f"model {self.name} has no signature of its {half}",
                    hint="signature=mlflow.models.infer_signature(rows, predictions)",
                )
        for what, path in {"code": str(self.code), **self.artifacts}.items():
            if "://" not in path and not Path(path).exists():
                raise NotFoundError(f"{what} of model {self.name}: no file {path}")


def upload(client: Client, run: Run, model: PyFunc) -> Any:
    """Log a model under a run and return MLflow's ``LoggedModel``, ready.

    Raises
    ------
    TaskError
        If the code of the model fails.
    SchemaError
        If the input example does not fit the signature.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    short = model.name.rpartition(".")[2]
    logged = client.create_logged_model(run.experiment_id, name=short, source_run_id=run.run_id)
    try:
        with tempfile.TemporaryDirectory(prefix="lakemill-model-") as folder:
            _save(Path(folder) / "model", model, logged, run)
            client.log_model_artifacts(logged.model_id, f"{folder}/model")
    except BaseException:
        client.finalize_logged_model(logged.model_id, LoggedModelStatus.FAILED)
        raise
    client.log_outputs(run.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)


def load(location: str, tracking_uri: str) -> Any:
    """Load a pyfunc from where its files are, whatever store MLflow itself is set to."""
    with mlflow_calls(location), _no_advice(), _own_code_first():
        from mlflow.artifacts import download_artifacts
        from mlflow.pyfunc import load_model

        return load_model(download_artifacts(artifact_uri=location, tracking_uri=tracking_uri))


def _save(path: Path, model: PyFunc, logged: Any, run: Run) -> None:
    with mlflow_calls(f"model {model.name}"), _no_advice():
        from mlflow.exceptions import MlflowException
        from mlflow.models import Model
        from mlflow.pyfunc import save_model

        ids = {"model_uuid": logged.model_id, "model_id": logged.model_id, "run_id": run.run_id}
        try:
            save_model(
                path,
                python_model=str(model.code),
                artifacts=dict(model.artifacts) or None,
                signature=model.signature,
                input_example=model.input_example,
                pip_requirements=list(model.pip_requirements),
                code_paths=[str(each) for each in model.code_paths] or None,
                mlflow_model=Model(artifact_path=logged.artifact_location, **ids),
            )
        except MlflowException as error:
            raise _refusal(error, model) or error from error


def _refusal(error: Any, model: PyFunc) -> SchemaError | TaskError | None:
    if error.error_code == "INVALID_PARAMETER_VALUE":
        return SchemaError(f"MLflow refuses model {model.name}: {error}", hint="mend its signature or its example")
    if str(error).startswith(_CODE_FAILS):
        return TaskError(f"the code of model {model.name} fails: {error}", hint=f"python {model.code}")
    return None


@contextmanager
def _no_advice() -> Iterator[None]:
    with warnings.catch_warnings():
        for message in _ADVICE:
            warnings.filterwarnings("ignore", message=message, category=UserWarning)
        yield


@contextmanager
def _own_code_first() -> Iterator[None]:
    """Put the code that came with a model behind all other: MLflow would let it hide the project's own modules."""
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = [*before, *(path for path in sys.path if path not in before)]
