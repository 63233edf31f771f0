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
    "Frame": "lakemill.engines.frames",
    "features": "lakemill.features",
    "FeatureLookup": "lakemill.features",
    "TrainingSet": "lakemill.features",
    "BetterThan": "lakemill.registry",
    "MetricThreshold": "lakemill.registry",
    "ManyTraining": "lakemill.training.many",
    "GroupResult": "lakemill.training.many",
    "train": "lakemill.training.many",
    "Forecasting": "lakemill.training.forecasting",
    "forecasting_report": "lakemill.training.forecasting",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lakemill' has no attribute {name!r}")
    home = import_module(_HOMES[name])
    return home if _HOMES[name].endswith(f".{name}") else getattr(home, name)


def __dir__() -> list[str]:
    return list(__all__)
