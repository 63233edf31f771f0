"""Runs and registered models, on MLflow."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakemill.core.errors import NotFoundError, SchemaError, nearest
from lakemill.core.records import Context, TableRef, to_json, utc_now
from lakemill.registry.provenance import environment, git_tags, table_tags
from lakemill.registry.records import NO_TAGS, Decision, Evaluation, ModelVersion

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER = "champion", "challenger"
EVALUATION, DECISION, TRAINING = "lakemill.evaluation", "lakemill.decision", "lakemill.training"


class Run:
    """A run under way.

    Parameters
    ----------
    client
        MLflow's client.
    run_id
        The run.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self.run_id = run_id

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Log parameters, as text."""
        for name, value in values.items():
            self._client.log_param(self.run_id, name, value)

    def log_metrics(self, values: Mapping[str, float], *, step: int = 0) -> None:
        """Log numbers."""
        for name, value in values.items():
            self._client.log_metric(self.run_id, name, float(value), step=step)

    def log_text(self, text: str, name: str) -> None:
        """Log a text as an artifact."""
        self._client.log_text(self.run_id, text, name)

    def log_folder(self, folder: Path, name: str) -> str:
        """Log a folder as an artifact and return its URI."""
        self._client.log_artifacts(self.run_id, str(folder), name)
        return f"{self._client.get_run(self.run_id).info.artifact_uri}/{name}"


class Registry:
    """Runs, registered models and their aliases.

    MLflow's own client works beside it on the same store; no global of MLflow is changed, except
    while a model is loaded.

    Parameters
    ----------
    tracking_uri
        MLflow's store: ``sqlite:///...`` or the address of a server.
    artifacts
        Folder or URI of artifacts.
    experiment
        Name of the experiment that runs belong to.
    context
        Who acts.
    project_dir
        Folder whose git commit runs record.
    """

    def __init__(
        self, *, tracking_uri: str, artifacts: str, experiment: str, context: Context, project_dir: str = "."
    ) -> None:
        self.tracking_uri = tracking_uri
        self.artifacts = artifacts
        self.experiment = experiment
        self.context = context
        self.project_dir = Path(project_dir)

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's own client of this store."""
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        if self.tracking_uri.startswith("sqlite:///"):
            Path(self.tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)

    @cached_property
    def _experiment_id(self) -> str:
        found = self.client.get_experiment_by_name(self.experiment)
        if found is not None:
            return str(found.experiment_id)
        return str(self.client.create_experiment(self.experiment, artifact_location=self.artifacts))

    @contextmanager
    def start_run(
        self, name: str, *, inputs: Sequence[TableRef] = (), tags: Mapping[str, str] = NO_TAGS, parent_run_id: str = ""
    ) -> Iterator[Run]:
        """Open a run; it records commit, table versions, environment, seconds, and the error if one ends it."""
        parent = {"mlflow.parentRunId": parent_run_id} if parent_run_id else {}
        job = {
            "lakemill.run": self.context.run_id,
            "lakemill.task": self.context.task_key,
            "mlflow.user": self.context.user,
        }
        every = {**git_tags(self.project_dir), **table_tags(inputs), **job, **parent, **tags}
        run_id = self.client.create_run(self._experiment_id, run_name=name, tags=every).info.run_id
        run, started = Run(self.client, run_id), time.perf_counter()
        try:
            run.log_text(environment(), "environment.txt")
            yield run
        except BaseException as error:
            self.client.set_tag(run_id, "lakemill.error", f"{type(error).__name__}: {error}"[:5000])
            self.client.set_terminated(run_id, status="FAILED")
            raise
        run.log_metrics({"seconds": time.perf_counter() - started})
        self.client.set_terminated(run_id)

    def register(
        self,
        run: Run,
        *,
        name: str,
        code: Path,
        artifacts: Mapping[str, str],
        signature: Any,
        pip_requirements: Sequence[str],
        tags: Mapping[str, str] = NO_TAGS,
    ) -> ModelVersion:
        """Save a pyfunc with its artifacts under a run and register it as a new version.

        Parameters
        ----------
        run
            The run that made it.
        name
            Three-level name of the model; made if need be.
        code
            Python file that calls ``mlflow.models.set_model``.
        artifacts
            Files that the model opens, by name.
        signature
            MLflow signature of input and output.
        pip_requirements
            What must be installed to load it.
        tags
            Tags of the version.

        Raises
        ------
        SchemaError
            If there is no signature.
        """
        if signature is None:
            raise SchemaError(f"model {name} has no signature", hint="mlflow.models.infer_signature(rows, predictions)")
        import mlflow.pyfunc

        with tempfile.TemporaryDirectory(prefix="lakemill-model-") as folder:
            path = Path(folder) / "model"
            mlflow.pyfunc.save_model(
                path,
                python_model=str(code),
                artifacts=dict(artifacts),
                signature=signature,
                pip_requirements=list(pip_requirements),
            )
            source = run.log_folder(path, "model")
        self._ensure_model(name)
        # One insert: until it is there, nobody sees a version; once it is, its files are whole.
        made = self.client.create_model_version(name, source, run_id=run.run_id, tags=dict(tags))
        return self._version(made)

    def models(self) -> tuple[str, ...]:
        """Return the names of all registered models."""
        return tuple(sorted(model.name for model in self.client.search_registered_models(max_results=1000)))

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        """Return the versions of a model, newest first.

        Raises
        ------
        NotFoundError
            If there is no such model.
        """
        aliases = self._aliases(name)
        found = [self._version(item, aliases) for item in self.client.search_model_versions(f"name = '{name}'")]
        return tuple(sorted(found, key=lambda version: -version.version))

    def get(self, reference: str) -> ModelVersion:
        """Return the version that ``name@alias`` or ``name/version`` names.

        Raises
        ------
        NotFoundError
            If there is no such model, alias or version.
        """
        name, wanted, by_alias = _parse(reference)
        versions = self.versions(name)
        for version in versions:
            if wanted in version.aliases if by_alias else wanted == str(version.version):
                return version
        known = (
            [alias for version in versions for alias in version.aliases]
            if by_alias
            else [str(v.version) for v in versions]
        )
        raise NotFoundError(
            f"model {name} has no {'alias' if by_alias else 'version'} {wanted!r}", hint=nearest(wanted, known)
        )

    def find(self, name: str, *, training: str) -> ModelVersion | None:
        """Return the version that a training has registered before, if it has."""
        if name not in self.models():
            return None
        return next((version for version in self.versions(name) if version.tags.get(TRAINING) == training), None)

    def load(self, reference: str) -> Any:
        """Load a version as a pyfunc; `reference` is ``name@alias`` or ``name/version``."""
        import mlflow

        version = self.get(reference)
        before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_registry_uri(self.tracking_uri)
        try:
            return mlflow.pyfunc.load_model(version.uri)
        finally:
            mlflow.set_tracking_uri(before[0])
            mlflow.set_registry_uri(before[1])

    def set_alias(self, name: str, alias: str, version: int, *, reason: str) -> None:
        """Move an alias, in one statement, and note on the version who did it, why and from where."""
        before = self._aliases(name).get(alias)
        note = {"at": utc_now(), "by": self.context.user, "reason": reason, "before": before}
        self.client.set_model_version_tag(name, str(version), f"lakemill.alias.{alias}", to_json(note))
        self.client.set_registered_model_alias(name, alias, str(version))

    def rollback(self, name: str, alias: str) -> ModelVersion:
        """Move an alias back to the version that had it before.

        Raises
        ------
        NotFoundError
            If there is no version to go back to.
        """
        current = self.get(f"{name}@{alias}")
        before = json.loads(current.tags.get(f"lakemill.alias.{alias}", "{}")).get("before")
        if before is None:
            raise NotFoundError(f"no version had @{alias} of {name} before version {current.version}")
        self.set_alias(name, alias, int(before), reason=f"rolled back from version {current.version}")
        return self.get(f"{name}@{alias}")

    def evaluation(self, version: ModelVersion) -> Evaluation | None:
        """Return the evaluation that a version was registered with."""
        text = version.tags.get(EVALUATION)
        return Evaluation(**json.loads(text)) if text else None

    def decision(self, version: ModelVersion) -> Decision | None:
        """Return what a gate decided on a version, if one did."""
        text = version.tags.get(DECISION)
        return Decision(**json.loads(text)) if text else None

    def promote(self, version: ModelVersion, decision: Decision) -> None:
        """Make a version the challenger, and the champion if the decision says so; the reason is kept."""
        tag = to_json(decision)
        self.client.set_model_version_tag(version.name, str(version.version), DECISION, tag)
        self.set_alias(version.name, CHALLENGER, version.version, reason="newest version")
        if decision.passed:
            self.set_alias(version.name, CHAMPION, version.version, reason=decision.reason)

    def _ensure_model(self, name: str) -> None:
        if name not in self.models():
            self.client.create_registered_model(name)

    def _aliases(self, name: str) -> dict[str, int]:
        if name not in self.models():
            raise NotFoundError(f"no model {name!r}", hint=nearest(name, self.models()))
        return {alias: int(version) for alias, version in self.client.get_registered_model(name).aliases.items()}

    def _version(self, item: Any, aliases: Mapping[str, int] | None = None) -> ModelVersion:
        number = int(item.version)
        return ModelVersion(
            name=item.name,
            version=number,
            run_id=item.run_id or "",
            uri=f"models:/{item.name}/{number}",
            created_at=datetime.fromtimestamp(item.creation_timestamp / 1000, UTC),
            aliases=tuple(sorted(alias for alias, at in (aliases or {}).items() if at == number)),
            tags=dict(item.tags),
        )


def _parse(reference: str) -> tuple[str, str, bool]:
    """Split ``name@alias`` or ``name/version``; a bare name means its champion."""
    if "@" in reference:
        name, _, alias = reference.partition("@")
        return name, alias, True
    name, _, version = reference.partition("/")
    return (name, version, False) if version else (name, CHAMPION, True)
