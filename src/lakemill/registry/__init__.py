"""Runs, models, aliases, and the gates before them, on MLflow."""

from lakemill.registry.gates import BetterThan, Gate, MetricThreshold, decide
from lakemill.registry.records import AliasMove, Decision, Evaluation, ModelVersion
from lakemill.registry.registry import CHALLENGER, CHAMPION, EVALUATION, TRAINING, Registry
from lakemill.registry.runs import Run

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "EVALUATION",
    "TRAINING",
    "AliasMove",
    "BetterThan",
    "Decision",
    "Evaluation",
    "Gate",
    "MetricThreshold",
    "ModelVersion",
    "Registry",
    "Run",
    "decide",
]
