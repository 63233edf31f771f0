"""Data parallel: a copy of the model on every rank, gradients averaged once a step."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from lakemill.parallel.base import Axis, Cut, DeepModel, Strategy


class DataParallel(Strategy):
    """Every rank holds all and sees other samples.

    References
    ----------
    Li et al. (2020), PyTorch distributed: experiences on accelerating data parallel training, PVLDB 13(12).
    """

    kind = "ddp"
    axis: ClassVar[Axis] = "data"

    def cost(self, degree: int, model: DeepModel, *, so_far: Cut) -> Cut:  # noqa: ARG002  bytes alone decide
        """Add one all-reduce of the gradients; see `Strategy.cost`."""
        sent = self.ring("all_reduce", degree, payload_bytes=so_far.gradient_bytes)
        return replace(so_far, degrees=self.degrees(degree, so_far), wires=so_far.wires + sent)
