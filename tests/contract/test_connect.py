"""Spark Connect: the contract of frame engines against a server, as its users start one."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.xdist_group("spark"), pytest.mark.timeout(600)]
CONTRACT = Path(__file__).with_name("over_connect.py")


@pytest.fixture
def address(tmp_path, required):
    """Run a Connect server on two cores."""
    if "spark" not in required:
        pytest.importorskip("pyspark")
    from lakemill.engines.spark_session import _variables

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = os.environ | _variables(tmp_path, here=True)
    settings = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": port,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",  # compiling would take longer than the work
        "spark.local.dir": tmp_path,
        "spark.sql.shuffle.partitions": 4,
        "spark.ui.enabled": "false",
    }
    command = [f"{variables['SPARK_HOME']}/bin/spark-submit", "--master", "local[2]"]
    command += ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer"]
    command += [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
    with subprocess.Popen(command, env=variables, cwd=tmp_path) as server:
        while server.poll() is None and not _answers(port):
            time.sleep(0.1)
        yield f"sc://127.0.0.1:{port}"
        server.kill()


def _answers(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_frames_and_tasks_keep_their_contracts_over_connect(address, tmp_path):
    """In a process of its own: one that has a classic session cannot have this one."""
    command = [sys.executable, "-m", "pytest", str(CONTRACT), "-q", f"--basetemp={tmp_path}/contract"]
    environment = os.environ | {"CONNECT_ADDRESS": address, "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=CONTRACT.parents[2]
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d+ passed in", done.stdout, flags=re.MULTILINE), done.stdout  # none was skipped
