"""The project file, and jobs that survive the death of their runner."""

from lakemill.projects.load import load_project, open_workspace
from lakemill.projects.project import Job, Project, Task, json_schema
from lakemill.projects.references import check_references
from lakemill.projects.runner import find_run, run_job, runs
from lakemill.projects.runs import JobRun, TaskRun
from lakemill.projects.targets import with_engine
from lakemill.projects.template import init_project

open = open_workspace  # noqa: A001  read as lm.open

__all__ = [
    "Job",
    "JobRun",
    "Project",
    "Task",
    "TaskRun",
    "check_references",
    "find_run",
    "init_project",
    "json_schema",
    "load_project",
    "open",
    "open_workspace",
    "run_job",
    "runs",
    "with_engine",
]
