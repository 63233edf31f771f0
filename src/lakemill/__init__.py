"""Lakemill: from tables to monitored models.

The public names load on first use, so that ``import lakemill`` stays fast and pulls in no engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "LakemillError": "lakemill.core.errors",
    "Resources": "lakemill.core.records",
    "ClusterSpec": "lakemill.core.records",
    "open": "lakemill.projects",
    "Workspace": "lakemill.workspace",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lakemill' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
