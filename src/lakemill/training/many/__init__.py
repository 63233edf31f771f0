"""Many small models: one per group of a table, packed into tasks, each failure its own."""

from lakemill.training.many.definition import GroupResult, ManyTraining

__all__ = ["GroupResult", "ManyTraining"]
