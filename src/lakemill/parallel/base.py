"""How one model is cut: the model, what a rank holds and moves, and what every way of cutting does.

References
----------
Rajbhandari, Rasley, Ruwase, He (2020), ZeRO: memory optimizations toward training trillion parameter
models, SC20: bytes per parameter. Korthikanti et al. (2022), Reducing activation recomputation in large
transformer models, arXiv:2205.05198: activations. Narayanan et al. (2021), Efficient large-scale language
model training on GPU clusters using Megatron-LM, SC21: parameters, FLOPs. Patarasu, Yuan (2009), Bandwidth
optimal all-reduce algorithms for clusters of workstations, JPDC 69(2): bytes on a ring.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Final, Literal

from lakemill.core.errors import ConfigError, UnsupportedError
from lakemill.core.records import record

Axis = Literal["tensor", "pipeline", "data"]
Collective = Literal["all_reduce", "all_gather", "reduce_scatter", "send"]

# Times that a ring moves the share (n - 1) / n of the whole payload past each rank.
ROUNDS: Final[dict[Collective, int]] = {"all_reduce": 2, "all_gather": 1, "reduce_scatter": 1}


@record
class Precision:
    """Bytes for each parameter: the working copy, its gradient, all that the optimizer keeps of it."""

    parameter_bytes: float
    gradient_bytes: float
    optimizer_bytes: float


MIXED_ADAM: Final = Precision(parameter_bytes=2, gradient_bytes=2, optimizer_bytes=12)
ADAM: Final = Precision(parameter_bytes=4, gradient_bytes=4, optimizer_bytes=8)
SGD: Final = Precision(parameter_bytes=4, gradient_bytes=4, optimizer_bytes=0)


@record
class Part:
    """Facts about one layer, or about all that lies outside the layers.

    Parameters
    ----------
    parameters
        Trained numbers.
    flops_per_sample
        Of one forward and one backward pass.
    replicated_bytes_per_sample
        Activations that every rank of a tensor cut keeps for the backward pass.
    split_bytes_per_sample
        Activations that the ranks of a tensor cut share out.
    """

    parameters: float
    flops_per_sample: float
    replicated_bytes_per_sample: float = 0.0
    split_bytes_per_sample: float = 0.0


@record
class DeepModel:
    """A model of equal layers, as the arithmetic sees it.

    Parameters
    ----------
    layers
        How many equal layers there are.
    heads
        Attention heads, the units that a tensor cut deals out; a plain network gives its narrowest width.
    layer, outer
        One layer; embedding, head and loss together.
    boundary_bytes_per_sample
        What one layer hands to the next: its output.
    """

    layers: int
    heads: int
    layer: Part
    outer: Part
    boundary_bytes_per_sample: float
    precision: Precision

    def __post_init__(self) -> None:
        """Refuse an empty model at birth."""
        amounts = (self.layers, self.heads, self.parameters, self.flops_per_sample)
        if min(amounts) <= 0:
            raise ConfigError(f"a model needs layers, heads, parameters and FLOPs above 0, got {amounts}")

    @property
    def parameters(self) -> float:
        """Trained numbers of the whole model."""
        return self.layers * self.layer.parameters + self.outer.parameters

    @property
    def flops_per_sample(self) -> float:
        """Of one forward and one backward pass through the whole model."""
        return self.layers * self.layer.flops_per_sample + self.outer.flops_per_sample


def transformer(
    layers: int, hidden: int, *, heads: int, sequence: int, vocabulary: int, precision: Precision = MIXED_ADAM
) -> DeepModel:
    """Return the facts of a GPT: four times as wide inside, tied embedding, dropout, attention scores kept.

    Activations of a layer are ``sbh(10 + 24/t + 5as/(ht))`` bytes at two bytes a number; of these, one byte
    a number are dropout masks, whatever the precision. Logits are kept in four bytes.

    References
    ----------
    Narayanan et al. (2021), equations 2 and 3. Korthikanti et al. (2022), sections 4.1 to 4.3.

    Examples
    --------
    >>> gpt3 = transformer(96, 12288, heads=96, sequence=2048, vocabulary=51200)
    >>> round(gpt3.parameters / 1e9, 1)
    174.6
    """
    numbers, scores, width = sequence * hidden, heads * sequence**2, precision.parameter_bytes
    layer = Part(
        parameters=12 * hidden**2 + 13 * hidden,
        flops_per_sample=72 * numbers * hidden + 12 * numbers * sequence,
        replicated_bytes_per_sample=(4 * width + 2) * numbers,
        split_bytes_per_sample=12 * width * numbers + (2 * width + 1) * scores,
    )
    outer = Part(
        parameters=(vocabulary + sequence) * hidden,
        flops_per_sample=6 * numbers * vocabulary,
        replicated_bytes_per_sample=(2 * width + 1) * numbers,
        split_bytes_per_sample=4 * sequence * vocabulary,
    )
    boundary = width * numbers
    return DeepModel(
        layers=layers, heads=heads, layer=layer, outer=outer, boundary_bytes_per_sample=boundary, precision=precision
    )


@record
class Step:
    """What one copy of the model does between two updates.

    Parameters
    ----------
    micro_batch_samples
        Samples in one forward and backward pass.
    micro_batches
        Passes whose gradients are added up.
    recompute
        Keep only the input of each layer, and compute the rest again in the backward pass.
    """

    micro_batch_samples: int = 1
    micro_batches: int = 1
    recompute: bool = False

    def __post_init__(self) -> None:
        """Refuse an empty step at birth."""
        if self.micro_batch_samples < 1 or self.micro_batches < 1:
            sizes = (self.micro_batch_samples, self.micro_batches)
            raise ConfigError(f"a step needs micro_batch_samples >= 1 and micro_batches >= 1, got {sizes}")


@record
class Wire:
    """Bytes that one rank sends in a step, by what, in a group of how many ranks."""

    kind: str
    collective: Collective
    ranks: int
    sent_bytes: float


@record
class Cut:
    """What the fullest rank holds and moves in a step.

    Parameters
    ----------
    step, flops, wires
        What one copy of the model does between two updates, and what this rank computes and sends for it.
    degrees
        Axes cut so far, with their degrees.
    layers, layers_kept
        Layers on the rank, and how many layers' activations it holds, over all micro-batches in flight.
    layer_activation_bytes
        Activations that one layer keeps of one micro-batch.
    working_bytes
        Held once, however many layers there are: activations outside them, the layer recomputed or gathered.
    idle_share
        Share of the step, communication aside, in which the rank waits for other stages.
    """

    step: Step
    degrees: tuple[tuple[Axis, int], ...] = ()
    parameter_bytes: float
    gradient_bytes: float
    optimizer_bytes: float
    layers: int
    layers_kept: float
    layer_activation_bytes: float
    working_bytes: float
    flops: float
    idle_share: float = 0.0
    wires: tuple[Wire, ...] = ()

    @property
    def ranks(self) -> int:
        """Ranks that the cut takes."""
        return math.prod(degree for _, degree in self.degrees)

    @property
    def state_bytes(self) -> float:
        """Parameters, gradients and optimizer together."""
        return self.parameter_bytes + self.gradient_bytes + self.optimizer_bytes

    @property
    def activation_bytes(self) -> float:
        """All that is held of the micro-batches in flight, and the working space."""
        return self.layers_kept * self.layer_activation_bytes + self.working_bytes


class Strategy(ABC):
    """One way of cutting a model.

    Contract
    --------
    `cost` takes what a rank holds so far and returns what it holds after one more cut; degree 1 changes
    nothing. Tensor and pipeline cuts commute. The data axis comes last, for its ranks copy or shard what
    the others have left.
    """

    kind: ClassVar[str]
    axis: ClassVar[Axis]

    def check(self, degree: int, model: DeepModel, *, so_far: Cut) -> None:  # noqa: ARG002  for the kinds
        """Refuse a degree that the model or the cuts so far don't allow.

        Raises
        ------
        ConfigError
            If the degree is not 1 or more.
        UnsupportedError
            If the cut can't be made.
        """
        if degree < 1:
            raise ConfigError(f"a {self.kind} cut needs a degree of 1 or more, got {degree}")
        taken = dict(so_far.degrees)
        if self.axis in taken:
            raise UnsupportedError(
                f"{self.kind} cuts the {self.axis} axis, which is cut {taken[self.axis]} ways already",
                hint="one cut for each axis: multiply the degrees",
            )
        if "data" in taken:
            raise UnsupportedError(
                f"{self.kind} comes after a cut of the data axis; allowed before it only",
                hint="fold tensor and pipeline first, then ddp or zero",
            )

    @abstractmethod
    def cost(self, degree: int, model: DeepModel, *, so_far: Cut) -> Cut:
        """Return what a rank holds and moves after this cut."""

    def degrees(self, degree: int, so_far: Cut) -> tuple[tuple[Axis, int], ...]:
        """Return the axes cut so far and this one."""
        return (*so_far.degrees, (self.axis, degree)) if degree > 1 else so_far.degrees

    def ring(self, collective: Collective, ranks: int, *, payload_bytes: float) -> tuple[Wire, ...]:
        """Return what a ring of ranks sends for a payload, which is the whole tensor; nothing for one rank.

        References
        ----------
        Patarasu, Yuan (2009): ``2(n-1)/n`` of the payload for an all-reduce, half of it for its two halves.
        """
        sent = ROUNDS[collective] * (ranks - 1) / ranks * payload_bytes
        return (Wire(kind=self.kind, collective=collective, ranks=ranks, sent_bytes=sent),) if ranks > 1 else ()


def whole(model: DeepModel, step: Step) -> Cut:
    """Return the uncut model on one rank."""
    kept, working = activations(model, step)
    return Cut(
        step=step,
        parameter_bytes=model.parameters * model.precision.parameter_bytes,
        gradient_bytes=model.parameters * model.precision.gradient_bytes,
        optimizer_bytes=model.parameters * model.precision.optimizer_bytes,
        layers=model.layers,
        layers_kept=model.layers,
        layer_activation_bytes=kept,
        working_bytes=working,
        flops=flops(model, step, layers=model.layers),
    )


def fold(model: DeepModel, step: Step, *, ways: Iterable[tuple[Strategy, int]]) -> Cut:
    """Cut the model one way after the other.

    Raises
    ------
    UnsupportedError
        If one of the cuts can't be made after those before it.
    """
    cut = whole(model, step)
    for way, degree in ways:
        way.check(degree, model, so_far=cut)
        cut = way.cost(degree, model, so_far=cut)
    return cut


def activations(model: DeepModel, step: Step, *, shared_by: int = 1) -> tuple[float, float]:
    """Return the bytes of one micro-batch that each layer keeps, and those that are held once.

    References
    ----------
    Korthikanti et al. (2022), table 2. Rajbhandari et al. (2021), ZeRO-Infinity, SC21, section 3: with
    recomputation, the layer at work holds all of its activations.
    """
    layer, outer = (
        step.micro_batch_samples * (part.replicated_bytes_per_sample + part.split_bytes_per_sample / shared_by)
        for part in (model.layer, model.outer)
    )
    if not step.recompute:
        return layer, outer
    return step.micro_batch_samples * model.boundary_bytes_per_sample, outer + layer


def flops(model: DeepModel, step: Step, *, layers: int) -> float:
    """Return the FLOPs of a step through some layers and all that is outside them.

    References
    ----------
    Narayanan et al. (2021), appendix: a backward pass costs two forward passes, so recomputation adds a third.
    """
    passes = 4 / 3 if step.recompute else 1.0
    per_sample = layers * model.layer.flops_per_sample * passes + model.outer.flops_per_sample
    return step.micro_batches * step.micro_batch_samples * per_sample
