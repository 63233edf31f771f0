"""Tensor parallel: every layer's matrices are dealt out among the ranks."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from lakemill.core.errors import UnsupportedError
from lakemill.parallel.base import Axis, Cut, DeepModel, Strategy, activations


class TensorParallel(Strategy):
    """Heads and columns on different ranks, sums by all-reduce.

    References
    ----------
    Shoeybi et al. (2019), Megatron-LM, arXiv:1909.08053: two all-reduces forward, two backward in each layer.
    Narayanan et al. (2021), SC21, section 3.2: ``8bsh(t-1)/t`` numbers a layer and micro-batch.
    """

    kind = "tensor"
    axis: ClassVar[Axis] = "tensor"

    def check(self, degree: int, model: DeepModel, *, so_far: Cut) -> None:
        """Refuse a degree that does not divide the heads; see `Strategy.check`."""
        super().check(degree, model, so_far=so_far)
        if model.heads % degree:
            allowed = ", ".join(str(d) for d in range(1, model.heads + 1) if model.heads % d == 0)
            raise UnsupportedError(
                f"a tensor cut deals out whole heads: {model.heads} heads don't go into {degree} equal parts",
                hint=f"allowed degrees: {allowed}",
            )

    def cost(self, degree: int, model: DeepModel, *, so_far: Cut) -> Cut:
        """Divide state, FLOPs and the split activations by the degree; see `Strategy.cost`."""
        step = so_far.step
        kept, working = activations(model, step, shared_by=degree)
        exchanged = so_far.layers * step.micro_batches * step.micro_batch_samples * model.boundary_bytes_per_sample
        all_reduces = 6 if step.recompute else 4  # recomputation repeats the two of the forward pass
        return replace(
            so_far,
            degrees=self.degrees(degree, so_far),
            parameter_bytes=so_far.parameter_bytes / degree,
            gradient_bytes=so_far.gradient_bytes / degree,
            optimizer_bytes=so_far.optimizer_bytes / degree,
            layer_activation_bytes=kept,
            working_bytes=working,
            flops=so_far.flops / degree,
            wires=so_far.wires + self.ring("all_reduce", degree, payload_bytes=all_reduces * exchanged),
        )
