"""Pipeline parallel: consecutive layers on different ranks, micro-batches in a row."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

from lakemill.core.errors import ConfigError, UnsupportedError
from lakemill.parallel.base import Axis, Cut, DeepModel, Strategy, Wire, flops


class PipelineParallel(Strategy):
    """Stages of layers, one forward and one backward in turn (1F1B).

    Embedding and head count on one stage, so the fullest rank is never held to be smaller than it is.

    Parameters
    ----------
    interleave
        Runs of layers on each rank; more of them shorten the bubble and send more.

    References
    ----------
    Huang et al. (2019), GPipe, NeurIPS: the bubble ``(p-1)/(m+p-1)``. Narayanan et al. (2021), SC21, section
    2.2: micro-batches in flight, and interleaving, which divides the bubble. Korthikanti et al. (2022),
    section 4.2.3: activations of ``L(1 + (p-1)/(pv))`` layers with interleaving.
    """

    kind = "pipeline"
    axis: ClassVar[Axis] = "pipeline"

    def __init__(self, interleave: int = 1) -> None:
        if interleave < 1:
            raise ConfigError(f"interleave must be 1 or more, got {interleave}")
        self.interleave = interleave

    def check(self, degree: int, model: DeepModel, *, so_far: Cut) -> None:
        """Refuse more stages than layers, and an interleaving that doesn't come out even; see `Strategy.check`."""
        super().check(degree, model, so_far=so_far)
        if degree > model.layers:
            raise UnsupportedError(
                f"a pipeline needs a layer for each stage: got {degree} stages for {model.layers} layers",
                hint=f"use at most {model.layers} stages, or a tensor cut inside the layers",
            )
        runs, passes = degree * self.interleave, so_far.step.micro_batches
        if self.interleave > 1 and (model.layers % runs or passes % degree):
            raise UnsupportedError(
                f"interleaving needs layers in multiples of {runs} and micro-batches in multiples of {degree}, "
                f"got {model.layers} layers and {passes} micro-batches",
                hint="change the number of micro-batches, or use interleave=1",
            )

    def cost(self, degree: int, model: DeepModel, *, so_far: Cut) -> Cut:
        """Keep the layers of one stage, and wait for the others; see `Strategy.cost`."""
        layers = math.ceil(so_far.layers / degree)
        state = (layers * model.layer.parameters + model.outer.parameters) / model.parameters
        work = flops(model, so_far.step, layers=layers) / flops(model, so_far.step, layers=model.layers)
        return replace(
            so_far,
            degrees=self.degrees(degree, so_far),
            parameter_bytes=so_far.parameter_bytes * state,
            gradient_bytes=so_far.gradient_bytes * state,
            optimizer_bytes=so_far.optimizer_bytes * state,
            layers=layers,
            layers_kept=layers * self._in_flight(degree, so_far.step.micro_batches),
            flops=so_far.flops * work,
            idle_share=(degree - 1) / (self.interleave * so_far.step.micro_batches + degree - 1),
            wires=self._wires(degree, model, so_far, layers=layers),
        )

    def _in_flight(self, degree: int, passes: int) -> float:
        """Return how many micro-batches the first stage has begun and not ended."""
        if self.interleave == 1:
            return min(degree, passes)
        return degree + (degree - 1) / self.interleave

    def _wires(self, degree: int, model: DeepModel, so_far: Cut, *, layers: int) -> tuple[Wire, ...]:
        """Return what is sent: a tensor cut before this one now has fewer layers to add up."""
        inner = tuple(replace(w, sent_bytes=w.sent_bytes * layers / so_far.layers) for w in so_far.wires)
        if degree == 1:
            return inner
        # An inner run hands on its output and the gradient of its input; of two ranks each holds one end.
        sends = 2 * self.interleave - (degree == 2)
        passes = so_far.step.micro_batches * so_far.step.micro_batch_samples
        sent = sends * passes * model.boundary_bytes_per_sample
        return (*inner, Wire(kind=self.kind, collective="send", ranks=degree, sent_bytes=sent))
