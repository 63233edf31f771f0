"""Lakemill: from tables to monitored models.

The public names load on first use, so that ``import lakemill`` stays fast and pulls in no engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what editors and type checkers see
    from lakemill import features
    from lakemill.core.errors import LakemillError
    from lakemill.core.records import ClusterSpec, Resources
    from lakemill.engines.frames import Frame
    from lakemill.features import FeatureLookup, TrainingSet, TrainingTable
    from lakemill.planner.advice import advise_inference, advise_tuning
    from lakemill.projects import open  # noqa: A004
    from lakemill.registry import BetterThan, MetricThreshold
    from lakemill.training.forecasting import Forecasting
    from lakemill.training.forecasting.report import forecasting_report
    from lakemill.training.many import GroupResult, ManyTraining
    from lakemill.training.many.train import train
    from lakemill.workspace import Workspace
    from lakemill.workspace.planning import plan

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
    "TrainingTable": "lakemill.features",
    "BetterThan": "lakemill.registry",
    "MetricThreshold": "lakemill.registry",
    "ManyTraining": "lakemill.training.many",
    "GroupResult": "lakemill.training.many",
    "train": "lakemill.training.many",
    "Forecasting": "lakemill.training.forecasting",
    "forecasting_report": "lakemill.training.forecasting.report",
    "plan": "lakemill.workspace.planning",
    "advise_inference": "lakemill.planner.advice",
    "advise_tuning": "lakemill.planner.advice",
}

__all__ = [
    "BetterThan",
    "ClusterSpec",
    "FeatureLookup",
    "Forecasting",
    "Frame",
    "GroupResult",
    "LakemillError",
    "ManyTraining",
    "MetricThreshold",
    "Resources",
    "TrainingSet",
    "TrainingTable",
    "Workspace",
    "advise_inference",
    "advise_tuning",
    "features",
    "forecasting_report",
    "open",
    "plan",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lakemill' has no attribute {name!r}")
    home = import_module(_HOMES[name])
    return home if _HOMES[name].endswith(f".{name}") else getattr(home, name)


def __dir__() -> list[str]:
    return list(__all__)
