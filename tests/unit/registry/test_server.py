"""The same registry in front of a real MLflow server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pandas as pd
import pytest

from lakemill.core.records import Context
from lakemill.registry import Registry


@pytest.fixture
def server(folder: Path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/served"]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            [*command, *stores], stdout=log, stderr=log, cwd=folder, start_new_session=True, env=_environment()
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, folder)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment() -> dict[str, str]:
    return {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def _wait(url: str, process: subprocess.Popen, folder: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, (folder / "server.log").read_text()
        try:
            return urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            time.sleep(0.2)
    pytest.fail((folder / "server.log").read_text())


@pytest.mark.timeout(300)
def test_a_registry_works_on_a_server(server, folder, tmp_path, parts, capfd):
    registry = Registry(
        tracking_uri=server,
        artifacts=str(tmp_path / "not-on-the-server"),
        experiment="demand",
        context=Context(user="ann"),
    )
    with registry.start_run("fit") as run:
        run.log_metrics({"loss": 1.0})
        registry.register(run, **parts(3.0))
    registry.set_alias("main.retail.demand", "champion", 1, reason="the first")
    model = registry.load("main.retail.demand@champion")
    assert model.predict(pd.DataFrame({"x": [2.0]})).tolist() == [6.0]
    assert registry.client.get_run(run.run_id).info.status == "FINISHED"
    assert registry.history("main.retail.demand", "champion")[0].reason == "the first"
    assert not (tmp_path / "not-on-the-server").exists()
    assert list((folder / "served").rglob("MLmodel"))
    assert capfd.readouterr() == ("", "")
