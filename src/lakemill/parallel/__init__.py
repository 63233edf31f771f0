"""How one model is cut: arithmetic on bytes, FLOPs and wires, without torch."""

from lakemill.core.plugins import Slot
from lakemill.parallel.base import (
    ADAM,
    MIXED_ADAM,
    SGD,
    Cut,
    DeepModel,
    Part,
    Precision,
    Step,
    Strategy,
    Wire,
    fold,
    transformer,
    whole,
)

CUTS: Slot[Strategy] = Slot("lakemill.parallel", Strategy)  # type: ignore[type-abstract]

__all__ = [
    "ADAM",
    "CUTS",
    "MIXED_ADAM",
    "SGD",
    "Cut",
    "DeepModel",
    "Part",
    "Precision",
    "Step",
    "Strategy",
    "Wire",
    "fold",
    "transformer",
    "whole",
]
