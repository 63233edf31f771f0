"""Runs, models, aliases, and the gates before them, on MLflow."""

from lakemill.registry.gates import BetterThan, decide
from lakemill.registry.records import Decision, Evaluation, ModelVersion
from lakemill.registry.registry import EVALUATION, TRAINING, Registry, Run

__all__ = [
    "EVALUATION",
    "TRAINING",
    "BetterThan",
    "Decision",
    "Evaluation",
    "ModelVersion",
    "Registry",
    "Run",
    "decide",
]
