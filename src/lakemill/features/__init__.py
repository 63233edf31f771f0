"""Feature tables, and training sets that join them as of the time of each label."""

from lakemill.features.materialize import TrainingTable, write_training_set
from lakemill.features.records import FeatureLookup, TrainingSet, as_training_set
from lakemill.features.tables import create_table, write_table
from lakemill.features.training_set import load, table_refs

__all__ = [
    "FeatureLookup",
    "TrainingSet",
    "TrainingTable",
    "as_training_set",
    "create_table",
    "load",
    "table_refs",
    "write_table",
    "write_training_set",
]
