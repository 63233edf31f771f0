"""From a run to what made it: commit, table versions, environment, memory."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import distributions, version
from pathlib import Path

from lakemill.core.records import TableRef


def git_tags(folder: Path) -> dict[str, str]:
    """Return commit and state of the git checkout that holds a folder; nothing outside of one.

    A file below the folder that git does not know makes it dirty as well: it may have been run.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    dirty = bool(_git(folder, "status", "--porcelain", "--", "."))
    return {"mlflow.source.git.commit": commit, "lakemill.git.dirty": str(dirty).lower()}


def table_tags(tables: Sequence[TableRef]) -> dict[str, str]:
    """Return a tag for each table with the version that was read."""
    return {f"lakemill.table.{table.name}": str(table.version) for table in tables}


@lru_cache(maxsize=1)
def environment() -> str:
    """Return the interpreter and every installed package, in the form of a requirements file."""
    packages = sorted({f"{item.name}=={item.version}" for item in distributions() if item.name}, key=str.lower)
    machine = f"# Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} cores"
    return "\n".join([machine, f"# Lakemill {version('lakemill')}", *packages, ""])


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
