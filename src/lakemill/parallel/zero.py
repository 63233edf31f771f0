"""ZeRO: data parallel ranks that each keep a shard of the state."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from lakemill.core.errors import ConfigError, UnsupportedError
from lakemill.parallel.base import Axis, Cut, DeepModel, Strategy, Wire


class Zero(Strategy):
    """Shard the optimizer (stage 1), the gradients too (stage 2), the parameters too (stage 3).

    References
    ----------
    Rajbhandari, Rasley, Ruwase, He (2020), ZeRO, SC20: sections 5 (bytes) and 7 (communication).
    """

    kind = "zero"
    axis: ClassVar[Axis] = "data"

    def __init__(self, stage: int = 1) -> None:
        if stage not in (1, 2, 3):
            raise ConfigError(f"a stage of ZeRO is 1, 2 or 3, got {stage}")
        self.stage = stage

    def check(self, degree: int, model: DeepModel, *, so_far: Cut) -> None:
        """Refuse stages 2 and 3 behind a pipeline; see `Strategy.check`.

        References
        ----------
        DeepSpeed, issues 1110 and 4164: a pipeline adds up the gradients of many micro-batches, and the later
        stages would communicate for each.
        """
        super().check(degree, model, so_far=so_far)
        if self.stage > 1 and "pipeline" in dict(so_far.degrees):
            raise UnsupportedError(
                f"ZeRO stage {self.stage} communicates in every micro-batch of a pipeline; only stage 1 goes with one",
                hint="use stage 1, or a tensor cut in place of the pipeline",
            )

    def cost(self, degree: int, model: DeepModel, *, so_far: Cut) -> Cut:
        """Divide the state of the stage by the degree; see `Strategy.cost`."""
        return replace(
            so_far,
            degrees=self.degrees(degree, so_far),
            optimizer_bytes=so_far.optimizer_bytes / degree,
            gradient_bytes=so_far.gradient_bytes / (degree if self.stage > 1 else 1),
            parameter_bytes=so_far.parameter_bytes / (degree if self.stage > 2 else 1),
            working_bytes=so_far.working_bytes + self._gathered_bytes(degree, model, so_far),
            wires=so_far.wires + self._wires(degree, so_far),
        )

    def _gathered_bytes(self, degree: int, model: DeepModel, so_far: Cut) -> float:
        """Return what stage 3 borrows from other ranks: parameters and new gradients of the largest part."""
        if self.stage < 3:
            return 0.0
        part = max(model.layer.parameters, model.outer.parameters) / model.parameters
        return part * (so_far.parameter_bytes + so_far.gradient_bytes) * (degree - 1) / degree

    def _wires(self, degree: int, so_far: Cut) -> tuple[Wire, ...]:
        """Return what is sent: shards can't add up whole gradients, so stages 2 and 3 reduce each micro-batch."""
        passes = so_far.step.micro_batches
        scatters, gathers = {1: (1, 1), 2: (passes, 1), 3: (passes, 2 * passes)}[self.stage]
        return (
            *self.ring("reduce_scatter", degree, payload_bytes=scatters * so_far.gradient_bytes),
            *self.ring("all_gather", degree, payload_bytes=gathers * so_far.parameter_bytes),
        )
