"""Advice on choices beside a plan: how many trials and how many at once, and batch, streaming or real time."""

from lakemill.planner.advice.inference import advise_inference
from lakemill.planner.advice.inference_modes import Inference
from lakemill.planner.advice.tuning import Tuning, advise_tuning

__all__ = ["Inference", "Tuning", "advise_inference", "advise_tuning"]
