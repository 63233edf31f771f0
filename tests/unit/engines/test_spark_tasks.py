"""Which tasks make up one Spark job, by Spark's own list of jobs."""

from __future__ import annotations

import time

import pytest

from lakemill.core.records import ClusterSpec, Resources
from lakemill.engines.tasks import Task

pytest.importorskip("pyspark")

from lakemill.engines.spark_session import spark_cluster

EACH = Resources(cpus=1)


def pause(seconds, attempt):
    time.sleep(seconds)
    return seconds


def jobs_of(engine, seconds):
    """Run a task for each number of seconds; return how many jobs that took."""
    tracker = spark_cluster(ClusterSpec(kind="spark")).session.sparkContext.statusTracker()
    before = set(tracker.getJobIdsForGroup(None))
    tasks = [Task(key=str(number), payload=each) for number, each in enumerate(seconds)]
    outcomes = {outcome.key: outcome.value for outcome in engine.map_tasks(pause, tasks, each=EACH)}
    assert outcomes == {str(number): each for number, each in enumerate(seconds)}
    return len(set(tracker.getJobIdsForGroup(None)) - before)


@pytest.mark.xdist_group("spark")
def test_short_tasks_share_a_job_and_long_ones_have_one_each(task_engines, monkeypatch):
    engine = task_engines["spark"]
    assert jobs_of(engine, [0.0] * 60) <= 30
    monkeypatch.setattr("lakemill.engines.tasks.spark.JOB_SECONDS", 0.1)
    assert jobs_of(engine, [0.1] * 20) == 20
