"""Runs and registered models, on MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lakemill.core.errors import AlreadyExistsError, ConflictError, NotFoundError, nearest
from lakemill.core.records import Context, TableRef, to_json, utc_now
from lakemill.registry.aliases import before, moves_in, settled, tag_of
from lakemill.registry.client import Client
from lakemill.registry.experiment import Experiment
from lakemill.registry.packaging import PyFunc, load, upload
from lakemill.registry.records import NO_TAGS, AliasMove, Decision, Evaluation, ModelVersion
from lakemill.registry.runs import Run

CHAMPION, CHALLENGER = "champion", "challenger"
EVALUATION, DECISION, TRAINING = "lakemill.evaluation", "lakemill.decision", "lakemill.training"
PAGE, ATTEMPTS = 1000, 5
MODEL_VERSIONS = "mlflow.modelVersions"


class Registry:
    """Runs, registered models and their aliases.

    MLflow's own client works beside it on the same store, in this process and in others: every call
    names its store, and MLflow's global URIs and active run are neither read nor changed.

    Parameters
    ----------
    tracking_uri
        MLflow's store: ``sqlite:////path/mlflow.db``, a database or the address of a server.
    artifacts
        Folder or URI of artifacts. A server keeps them where it likes, unless this is a URI.
    experiment
        Name of the experiment that runs belong to.
    context
        Who acts, and in which job run.
    project_dir
        Folder whose git commit runs record.
    engines
        Kinds of engine by purpose, recorded with runs: ``{"tasks": "ray"}``.

    Attributes
    ----------
    client
        MLflow's own client of this store, opened on first use, for what has no verb here.

    Raises
    ------
    ConfigError
        If the URI names no store.
    """

    def __init__(
        self,
        *,
        tracking_uri: str,
        artifacts: str,
        experiment: str,
        context: Context,
        project_dir: str = ".",
        engines: Mapping[str, str] = NO_TAGS,
    ) -> None:
        self.client = Client(tracking_uri, artifacts)
        self.context = context
        self._experiment = Experiment(
            self.client, experiment, context=context, project_dir=Path(project_dir), engines=engines
        )

    def start_run(
        self, name: str, *, inputs: Sequence[TableRef] = (), tags: Mapping[str, str] = NO_TAGS, parent_run_id: str = ""
    ) -> AbstractContextManager[Run]:
        """Open a run, which records where it comes from and what it takes.

        That is: who, git commit, job run and task, engines, table versions, environment, seconds,
        the largest resident memory that the process has had by the end, and the error if one ends it.

        Parameters
        ----------
        name
            What to call it.
        inputs
            Tables that it reads, at their versions.
        tags
            More tags.
        parent_run_id
            The run that it is part of.

        Raises
        ------
        StorageError
            If the store cannot be reached or written.
        """
        return self._experiment.run(name, inputs=inputs, tags=tags, parent_run_id=parent_run_id)

    def register(
        self,
        run: Run,
        *,
        name: str,
        code: Path,
        signature: Any,
        pip_requirements: Sequence[str],
        artifacts: Mapping[str, str] = NO_TAGS,
        code_paths: Sequence[Path] = (),
        input_example: Any = None,
        tags: Mapping[str, str] = NO_TAGS,
    ) -> ModelVersion:
        """Log a pyfunc from code under a run and register it as a new version.

        The version appears in one transaction, after all of its files are in place.

        Parameters
        ----------
        run
            The run that made it.
        name, code, signature, pip_requirements, artifacts, code_paths, input_example
            As for `PyFunc`.
        tags
            Tags of the version.

        Raises
        ------
        ConfigError, SchemaError, NotFoundError
            As for `PyFunc`.
        TaskError
            If the code of the model fails.
        """
        model = PyFunc(
            name=name,
            code=code,
            artifacts=artifacts,
            signature=signature,
            input_example=input_example,
            pip_requirements=pip_requirements,
            code_paths=code_paths,
        )
        logged = upload(self.client, run, model)
        with suppress(AlreadyExistsError):
            self.client.create_registered_model(name)
        made = self.client.create_model_version(
            name, logged.artifact_location, run_id=run.run_id, tags=dict(tags), model_id=logged.model_id
        )
        link = [{"name": name, "version": int(made.version)}]
        self.client.set_logged_model_tags(logged.model_id, {MODEL_VERSIONS: json.dumps(link)})
        return _version(made, {})

    def models(self) -> tuple[str, ...]:
        """Return the names of all registered models."""
        return tuple(sorted(model.name for model in _all(self.client.search_registered_models, "")))

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        """Return the versions of a model, newest first.

        Raises
        ------
        NotFoundError
            If there is no such model.
        """
        aliases = self._aliases(name)
        found = [_version(item, aliases) for item in _all(self.client.search_model_versions, f"name = '{name}'")]
        return tuple(sorted(found, key=lambda version: -version.version))

    def get(self, reference: str) -> ModelVersion:
        """Return the version that a reference names.

        Parameters
        ----------
        reference
            ``name@alias``, ``name/version``, or a bare name for its champion; MLflow's ``models:/``
            before it does no harm.

        Raises
        ------
        NotFoundError
            If there is no such model, alias or version.
        """
        name, wanted, by_alias = _parse(reference)
        aliases = self._aliases(name)
        number = aliases.get(wanted) if by_alias else _number(wanted)
        with suppress(NotFoundError):
            if number is not None:
                return _version(self.client.get_model_version(name, str(number)), aliases)
        known = list(aliases) if by_alias else [str(version.version) for version in self.versions(name)]
        kind = "alias" if by_alias else "version"
        raise NotFoundError(f"model {name} has no {kind} {wanted!r}", hint=nearest(wanted, known))

    def find(self, name: str, *, training: str) -> ModelVersion | None:
        """Return the version that a training has registered before, if it has."""
        with suppress(NotFoundError):
            return next((version for version in self.versions(name) if version.tags.get(TRAINING) == training), None)
        return None

    def load(self, reference: str) -> Any:
        """Load a version as a pyfunc; `reference` as for `get`.

        Raises
        ------
        NotFoundError
            If there is no such model, alias or version.
        """
        version = self.get(reference)
        location = self.client.get_model_version_download_uri(version.name, str(version.version))
        return load(location, self.client.tracking_uri)

    def tag(self, version: ModelVersion, **tags: str) -> None:
        """Set tags of a version."""
        for key, value in tags.items():
            self.client.set_model_version_tag(version.name, str(version.version), key, value)

    def set_alias(self, name: str, alias: str, version: int, *, reason: str) -> None:
        """Move an alias to a version: one row of the store, so of two who move it at once the last wins.

        Raises
        ------
        ConflictError
            If others keep on making and taking away that alias.
        NotFoundError
            If there is no such model or version.
        """
        self.get(f"{name}/{version}")
        self._move(name, alias, version, reason=reason)

    def delete_alias(self, name: str, alias: str, *, reason: str) -> None:
        """Take an alias away.

        Raises
        ------
        NotFoundError
            If there is no such model or alias.
        """
        self.get(f"{name}@{alias}")
        self._move(name, alias, None, reason=reason)

    def rollback(self, name: str, alias: str) -> ModelVersion:
        """Move an alias back to the version that it was taken from; again, and it goes one further back.

        Raises
        ------
        NotFoundError
            If there is no version to go back to.
        """
        current = self.get(f"{name}@{alias}").version
        target = before(self.history(name, alias), current)
        if target is None:
            raise NotFoundError(
                f"no version had @{alias} of {name} before version {current}", hint="set the alias to a version"
            )
        self.get(f"{name}/{target}")
        self._move(name, alias, target, reason=f"rolled back from version {current}", back=True)
        return self.get(f"{name}/{target}")

    def history(self, name: str, alias: str) -> tuple[AliasMove, ...]:
        """Return the moves of an alias, newest first: who, when, from where to where, why.

        Raises
        ------
        NotFoundError
            If there is no such model.
        """
        return moves_in(self._registered(name).tags, alias)

    def evaluation(self, version: ModelVersion) -> Evaluation | None:
        """Return the evaluation that a version was registered with."""
        text = version.tags.get(EVALUATION)
        return Evaluation(**json.loads(text)) if text else None

    def decision(self, version: ModelVersion) -> Decision | None:
        """Return what a gate decided on a version, if one did."""
        text = version.tags.get(DECISION)
        return Decision(**json.loads(text)) if text else None

    def promote(self, version: ModelVersion, decision: Decision) -> None:
        """Make a version the challenger, and the champion if the decision says so; the reason is kept.

        Doing it again ends what a kill interrupted, and leaves alone what was moved on since.
        """
        self.tag(version, **{DECISION: to_json(decision)})
        self._move_once(version, CHALLENGER, "newest version")
        if decision.passed:
            self._move_once(version, CHAMPION, decision.reason)

    def _move_once(self, version: ModelVersion, alias: str, reason: str) -> None:
        current = self._aliases(version.name).get(alias)
        if not settled(self.history(version.name, alias), version.version, current=current):
            self._move(version.name, alias, version.version, reason=reason)

    def _move(self, name: str, alias: str, version: int | None, *, reason: str, back: bool = False) -> None:
        move = AliasMove(
            alias=alias,
            before=self._aliases(name).get(alias),
            after=version,
            by=self.context.user,
            at=utc_now(),
            reason=reason,
            run_id=self.context.run_id,
            back=back,
        )
        self.client.set_registered_model_tag(name, *tag_of(move))
        if version is None:
            self.client.delete_registered_model_alias(name, alias)
        else:
            self._point(name, alias, version)

    def _point(self, name: str, alias: str, version: int) -> None:
        """Write the alias' row; MLflow looks before it inserts, so of two that insert one has to update."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self.client.set_registered_model_alias(name, alias, str(version))
            except ConflictError:
                if attempt == ATTEMPTS:
                    raise
            else:
                return

    def _aliases(self, name: str) -> dict[str, int]:
        return {alias: int(version) for alias, version in self._registered(name).aliases.items()}

    def _registered(self, name: str) -> Any:
        with suppress(NotFoundError):
            return self.client.get_registered_model(name)
        raise NotFoundError(f"no model {name!r}", hint=nearest(name, self.models()))


def _parse(reference: str) -> tuple[str, str, bool]:
    """Split ``name@alias`` or ``name/version``; a bare name means its champion."""
    reference = reference.removeprefix("models:/")
    if "@" in reference:
        name, _, alias = reference.partition("@")
        return name, alias, True
    name, _, version = reference.partition("/")
    return (name, version, False) if version else (name, CHAMPION, True)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _all(search: Callable[..., Any], filter_string: str) -> Iterator[Any]:
    page = search(filter_string, max_results=PAGE)
    yield from page
    while page.token:
        page = search(filter_string, max_results=PAGE, page_token=page.token)
        yield from page


def _version(item: Any, aliases: Mapping[str, int]) -> ModelVersion:
    number = int(item.version)
    return ModelVersion(
        name=item.name,
        version=number,
        run_id=item.run_id or "",
        uri=f"models:/{item.name}/{number}",
        created_at=datetime.fromtimestamp(item.creation_timestamp / 1000, UTC),
        aliases=tuple(sorted(alias for alias, at in aliases.items() if at == number)),
        tags=dict(item.tags),
    )
