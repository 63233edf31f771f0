"""Facts, hardware and limits in, one recommendation out: arithmetic, without an engine."""

from lakemill.planner import deep  # noqa: F401  registers the arithmetic of one large model
from lakemill.planner.advise import plan
from lakemill.planner.facts import DeepTraining, FeaturePipeline, ManyFits, Search, TableModel
from lakemill.planner.inference import advise_inference
from lakemill.planner.inference_modes import Inference
from lakemill.planner.search import weigh
from lakemill.planner.shortlist import shortlist
from lakemill.planner.tuning import Tuning, advise_tuning
from lakemill.planner.wording import label

__all__ = [
    "DeepTraining",
    "FeaturePipeline",
    "Inference",
    "ManyFits",
    "Search",
    "TableModel",
    "Tuning",
    "advise_inference",
    "advise_tuning",
    "label",
    "plan",
    "shortlist",
    "weigh",
]
