"""Facts, hardware and limits in, one recommendation out: arithmetic, without an engine."""

from lakemill.planner import deep  # noqa: F401  registers the arithmetic of one large model
from lakemill.planner.facts import DeepTraining, FeaturePipeline, ManyFits, Search, TableModel
from lakemill.planner.recommend import plan
from lakemill.planner.search import weigh
from lakemill.planner.shortlist import shortlist
from lakemill.planner.wording import label

__all__ = ["DeepTraining", "FeaturePipeline", "ManyFits", "Search", "TableModel", "label", "plan", "shortlist", "weigh"]
