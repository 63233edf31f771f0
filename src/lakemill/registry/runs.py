"""One MLflow run: what is logged to it while it is under way."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lakemill.core.records import TableRef
from lakemill.engines.process import peak_bytes
from lakemill.registry.client import Client
from lakemill.registry.provenance import environment, table_tags

ERROR, RESULT = "lakemill.error", "lakemill.result"
ERROR_CHARACTERS = 5000
PARAM_CHARACTERS = 6000


class Run:
    """A run under way.

    Parameters
    ----------
    client
        The client of its store.
    run_id
        The run.
    experiment_id
        The experiment that it belongs to.
    """

    def __init__(self, client: Client, run_id: str, *, experiment_id: str) -> None:
        self._client = client
        self.run_id = run_id
        self.experiment_id = experiment_id

    def __repr__(self) -> str:
        """Show the id."""
        return f"Run({self.run_id!r})"

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Log parameters, as text of at most 6,000 characters each."""
        from mlflow.entities import Param

        params = [Param(name, str(value)[:PARAM_CHARACTERS]) for name, value in values.items()]
        self._client.log_batch(self.run_id, params=params)

    def log_metrics(self, values: Mapping[str, float], *, step: int = 0) -> None:
        """Log numbers."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        self._client.log_batch(
            self.run_id, metrics=[Metric(name, float(value), now, step) for name, value in values.items()]
        )

    def log_inputs(self, tables: Sequence[TableRef]) -> None:
        """Note the versions of tables that the run read, as tags and as MLflow's dataset inputs."""
        from mlflow.entities import RunTag

        tags = [RunTag(name, version) for name, version in table_tags(tables).items()]
        self._client.log_batch(self.run_id, tags=tags)
        self._client.log_inputs(self.run_id, [_dataset_input(table) for table in tables])

    def log_outputs(self, tables: Iterable[TableRef]) -> None:
        """Note the tables that hold what the run found, each at its version, as tags."""
        from mlflow.entities import RunTag

        tags = [RunTag(f"{RESULT}.{table.name}", str(table.version)) for table in tables]
        self._client.log_batch(self.run_id, tags=tags)

    def log_text(self, text: str, name: str) -> None:
        """Log a text as an artifact."""
        self._client.log_text(self.run_id, text, name)

    def log_dict(self, data: Mapping[str, Any], name: str) -> None:
        """Log plain data as an artifact; the name ends in ``.json`` or ``.yaml``."""
        self._client.log_dict(self.run_id, dict(data), name)

    def log_table(self, rows: Any, name: str) -> None:
        """Log a small table (pandas, or columns as lists) as an artifact; the name ends in ``.json``."""
        self._client.log_table(self.run_id, rows, name)

    def log_file(self, path: Path, *, folder: str = "") -> None:
        """Log a file as an artifact in a folder of the run."""
        self._client.log_artifact(self.run_id, str(path), folder or None)

    def begin(self, inputs: Sequence[TableRef]) -> None:
        """Record what the run starts from."""
        self.log_text(environment(), "environment.txt")
        if inputs:
            self.log_inputs(inputs)

    def succeed(self, seconds: float) -> None:
        """Record what the run took, and end it."""
        self.log_metrics({"run_seconds": seconds, "run_peak_bytes": peak_bytes()})
        self._client.set_terminated(self.run_id, status="FINISHED")

    def fail(self, error: BaseException, seconds: float) -> None:
        """Record the error that ended the run, and what it took."""
        self.log_text("".join(traceback.format_exception(error)), "error.txt")
        self._client.set_tag(self.run_id, ERROR, f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS])
        self.log_metrics({"run_seconds": seconds, "run_peak_bytes": peak_bytes()})
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        self._client.set_terminated(self.run_id, status=status)


def _dataset_input(table: TableRef) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = {"path": table.location, "delta_table_version": table.version}
    dataset = Dataset(name=table.name, digest=f"v{table.version}", source_type="delta_table", source=json.dumps(source))
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])
