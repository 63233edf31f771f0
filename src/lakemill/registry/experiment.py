"""The experiment of a workspace: every run in it records where it comes from."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from lakemill.core.errors import AlreadyExistsError, ConfigError
from lakemill.core.records import Context, TableRef
from lakemill.registry.client import Client
from lakemill.registry.provenance import git_tags
from lakemill.registry.runs import ERROR, Run

JOB_RUN, TASK, PARENT = "lakemill.run", "lakemill.task", "mlflow.parentRunId"


class Experiment:
    """Opens the runs of one experiment.

    Parameters
    ----------
    client
        The client of the store.
    name
        The experiment; made if need be.
    context, project_dir, engines
        As for `Registry`.
    """

    def __init__(
        self, client: Client, name: str, *, context: Context, project_dir: Path, engines: Mapping[str, str]
    ) -> None:
        self._client = client
        self.name = name
        self._context = context
        self._project_dir = project_dir
        self._engines = engines
        self._mine: set[str] = set()

    @cached_property
    def id(self) -> str:
        """MLflow's id of the experiment."""
        client = self._client
        elsewhere = client.is_server and "://" not in client.artifacts
        with suppress(AlreadyExistsError):
            return str(client.create_experiment(self.name, None if elsewhere else client.artifacts))
        found = client.get_experiment_by_name(self.name)
        if found.lifecycle_stage != "active":
            raise ConfigError(
                f"experiment {self.name!r} is deleted",
                hint=f"mlflow experiments restore --experiment-id {found.experiment_id}",
            )
        return str(found.experiment_id)

    @contextmanager
    def run(
        self, name: str, *, inputs: Sequence[TableRef], tags: Mapping[str, str], parent_run_id: str
    ) -> Iterator[Run]:
        """Open a run, as `Registry.start_run` says."""
        if not parent_run_id:
            self._end_abandoned(name)
        made = self._client.create_run(self.id, run_name=name, tags={**self._tags(parent_run_id), **tags})
        run, started = Run(self._client, made.info.run_id, experiment_id=self.id), time.perf_counter()
        self._mine.add(run.run_id)
        try:
            run.begin(inputs)
            yield run
        except BaseException as error:
            run.fail(error, time.perf_counter() - started)
            raise
        run.succeed(time.perf_counter() - started)

    def _tags(self, parent_run_id: str) -> dict[str, str]:
        tags = {
            "mlflow.user": self._context.user,
            "mlflow.source.type": "JOB" if self._context.run_id else "LOCAL",
            "mlflow.source.name": str(self._project_dir.resolve()),
            JOB_RUN: self._context.run_id,
            TASK: self._context.task_key,
            PARENT: parent_run_id,
            **{f"lakemill.engine.{purpose}": kind for purpose, kind in self._engines.items()},
        }
        return {name: value for name, value in tags.items() if value} | git_tags(self._project_dir)

    def _end_abandoned(self, name: str) -> None:
        """End the run that an earlier attempt at this task left open when it was killed."""
        job, task = self._context.run_id, self._context.task_key
        if not (job and task):
            return
        of_this_task = f"attributes.status = 'RUNNING' and tags.`{JOB_RUN}` = '{job}' and tags.`{TASK}` = '{task}'"
        for run in self._client.search_runs([self.id], of_this_task):
            ours = run.info.run_id in self._mine or PARENT in run.data.tags
            if run.info.run_name == name and not ours:
                self._client.set_tag(run.info.run_id, ERROR, "its process was killed; the task was started again")
                self._client.set_terminated(run.info.run_id, status="KILLED")
