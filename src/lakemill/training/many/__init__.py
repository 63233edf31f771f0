"""Many small models: one per group of a table, packed into tasks, each failure its own."""

from lakemill.training.many import probe  # noqa: F401  registers how a training is tried
from lakemill.training.many.definition import GroupResult, ManyTraining
from lakemill.training.many.train import Trained, train

__all__ = ["GroupResult", "ManyTraining", "Trained", "train"]
