"""From a run to what made it: commit, table versions, environment."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path

from lakemill.core.records import TableRef


def git_tags(folder: Path) -> dict[str, str]:
    """Return commit and state of the git checkout that holds a folder; nothing outside of one."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    return {"mlflow.source.git.commit": commit, "lakemill.git.dirty": str(dirty).lower()}


def table_tags(tables: Sequence[TableRef]) -> dict[str, str]:
    """Return a tag for each table with the version that was read."""
    return {f"lakemill.table.{table.name}": str(table.version) for table in tables}


def environment() -> str:
    """Return the interpreter and every installed package, in the form of a requirements file."""
    packages = sorted({f"{item.name}=={item.version}" for item in distributions() if item.name}, key=str.lower)
    return "\n".join([f"# Python {platform.python_version()}, {platform.platform()}", *packages, ""])


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
