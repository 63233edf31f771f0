"""How large a torch model is, found from shapes alone: nothing is allocated, nothing is computed.

References
----------
PyTorch documentation: meta device, `torch.utils.flop_counter`, `torch.autograd.graph.saved_tensors_hooks`. Chen, Xu,
Zhang, Guestrin (2016), Training deep nets with sublinear memory cost, arXiv:1604.06174: recomputation keeps the
inputs of the blocks. Dao et al. (2022), FlashAttention, NeurIPS: attention that keeps no scores.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from lakemill.core.errors import ConfigError, MissingExtraError, UnsupportedError
from lakemill.parallel import MIXED_ADAM, DeepModel, Part, Precision

try:
    import torch
    from torch import Tensor, nn
    from torch.autograd.graph import saved_tensors_hooks
    from torch.library import _scoped_library
    from torch.utils._pytree import tree_leaves, tree_map_only
    from torch.utils.flop_counter import FlopCounterMode
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"measuring a deep model needs a package that is not installed: {error}", hint="pip install 'lakemill[torch]'"
    ) from error

TYPES: Final = {2: torch.bfloat16, 4: torch.float32, 8: torch.float64}  # of the working copy, by bytes a number
LISTS: Final = (nn.ModuleList, nn.ModuleDict, nn.Sequential)
FUSED: Final = torch.ops.aten._scaled_dot_product_flash_attention  # noqa: SLF001  operators have no other names
MASKED: Final = torch.ops.aten._scaled_dot_product_efficient_attention  # noqa: SLF001
SCORED: Final = torch.ops.aten._scaled_dot_product_attention_math  # noqa: SLF001


def measured(
    build: Callable[[], Any],
    sample: Any,
    *,
    loss: Callable[[Any], Any] | None = None,
    blocks: str = "",
    heads: int = 1,
    precision: Precision = MIXED_ADAM,
) -> DeepModel:
    """Run one forward and one backward pass on the meta device, and return the figures of the model.

    FLOPs are those of matrix products, convolutions and attention. Activations are what autograd keeps for the
    backward pass, as an accelerator's kernels keep it: fused attention without scores, dropout masks of one
    byte. The model is cast to the precision's working copy as a whole; what its own code casts stays cast.
    Temporary tensors of the backward pass are not counted.

    Blocks that differ count as equal ones of the same total. If nothing repeats, the model is one block.

    Parameters
    ----------
    build
        Makes the model.
    sample
        What the model takes: a tensor, a tuple of positional or a mapping of keyword arguments. The first
        dimension of its first tensor, shape ``(n_samples, ...)``, counts the samples. Values don't matter.
    loss
        From the model's output to a scalar; by default the sum of the output, which keeps nothing.
    blocks
        Dotted name of the module whose children are the blocks; by default those of one class in a
        `ModuleList`, `ModuleDict` or `Sequential` that have the most parameters.
    heads
        Units that a tensor cut deals out; 1 if it can't be cut so. An activation as wide as a block's output
        counts as held by every rank, any other as shared out.
    precision
        Bytes for each parameter; 2, 4 or 8 for the working copy.

    Raises
    ------
    ConfigError
        If there are no such blocks, no samples, or the precision has no type.
    UnsupportedError
        If the model needs real values, exists already, or has frozen parameters.
    """
    if precision.parameter_bytes not in TYPES:
        raise ConfigError(f"a working copy has 2, 4 or 8 bytes a parameter, got {precision.parameter_bytes}")
    dtype = TYPES[int(precision.parameter_bytes)]
    with torch.device("meta"), _kernels_of_an_accelerator(), _told_of_real_values():
        model = _ready(build(), dtype)
        ready = tree_map_only(Tensor, lambda tensor: _on_meta(tensor, dtype), sample)
        found = _Pass(model, _children(model, blocks) if blocks else _largest_repeated(model))
        samples = _samples(ready)
        found.run(ready, loss or _sum)
    return found.figures(samples, heads=heads, precision=precision)


class _Pass:
    """One forward and backward pass, and what each block computed, kept and handed on."""

    def __init__(self, model: nn.Module, blocks: Mapping[str, nn.Module]) -> None:
        self._model, self._blocks = model, blocks
        self._own = {_storage(tensor) for tensor in (*model.parameters(), *model.buffers())}
        self._kept: dict[int, tuple[str | None, Tensor]] = {}
        self._handed_on: list[Tensor] = []
        self._at_work: str | None = None
        self._counter = FlopCounterMode(display=False)

    def run(self, sample: Any, loss: Callable[[Any], Any]) -> None:
        """Pass the sample through, forward and backward."""
        with self._counter:
            with saved_tensors_hooks(self._keep, lambda tensor: tensor):
                with self._watched():
                    output = self._model(**sample) if isinstance(sample, Mapping) else self._model(*_as_tuple(sample))
                value = loss(output)
            value.backward()

    def figures(self, samples: int, *, heads: int, precision: Precision) -> DeepModel:
        """Return the mean block, and what lies outside the blocks."""
        layers, blocks = len(self._blocks), list(self._blocks.values())
        computed, trained = self._flops(*self._blocks), _numbers(blocks)
        rest = self._counter.get_total_flops() - computed, _numbers([self._model]) - trained
        return DeepModel(
            layers=layers,
            heads=heads,
            layer=self._part(computed, trained, inside=True, shares=(layers, samples)),
            outer=self._part(*rest, inside=False, shares=(1, samples)),
            boundary_bytes_per_sample=_bytes(self._handed_on) / layers / samples,
            precision=precision,
        )

    def _part(self, computed: int, trained: int, *, inside: bool, shares: tuple[int, int]) -> Part:
        """Return what is inside or outside the blocks, as so many equal layers and for one of so many samples."""
        layers, samples = shares
        replicated, split = self._kept_bytes(inside=inside)
        return Part(
            parameters=trained / layers,
            flops_per_sample=computed / layers / samples,
            replicated_bytes_per_sample=replicated / layers / samples,
            split_bytes_per_sample=split / layers / samples,
        )

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Note which block is at work; not in the backward pass, where blocks may run again."""
        with ExitStack() as hooks:
            for name, block in self._blocks.items():
                hooks.callback(block.register_forward_pre_hook(self._begin(name)).remove)
                hooks.callback(block.register_forward_hook(self._end).remove)
            yield

    def _begin(self, name: str) -> Callable[[nn.Module, Any], None]:
        def note(_block: nn.Module, _given: Any) -> None:
            self._at_work = name

        return note

    def _end(self, _block: nn.Module, _given: Any, output: Any) -> None:
        self._at_work = None
        self._handed_on += [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]

    def _keep(self, tensor: Tensor) -> Tensor:
        """Note each storage once, for the block that kept it first; kept here, its address is no other's."""
        if (storage := _storage(tensor)) not in self._own:
            self._kept.setdefault(storage, (self._at_work, tensor))
        return tensor

    def _kept_bytes(self, *, inside: bool) -> tuple[int, int]:
        """Return what was kept inside or outside the blocks: as wide as what they hand on, and of other widths."""
        widths = {tensor.shape[-1:] for tensor in self._handed_on}
        kept = [tensor for name, tensor in self._kept.values() if (name is not None) == inside]
        wide = [tensor for tensor in kept if tensor.shape[-1:] in widths]
        return _bytes(wide), _bytes(kept) - _bytes(wide)

    def _flops(self, *names: str) -> int:
        counts, root = self._counter.get_flop_counts(), type(self._model).__name__
        return sum(sum(counts.get(".".join(filter(None, (root, name))), {}).values()) for name in names)


def _ready(model: Any, dtype: torch.dtype) -> nn.Module:
    """Return the model in training mode, its numbers in the working copy's type."""
    if not isinstance(model, nn.Module):
        raise ConfigError(f"build must return a torch.nn.Module, got {type(model).__name__}")
    for name, parameter in model.named_parameters():
        if not parameter.is_meta:
            raise UnsupportedError(
                f"build returned a model that exists: {name} is on {parameter.device}",
                hint="make the model inside build, without device=, so that nothing is allocated",
            )
        if not parameter.requires_grad:
            raise UnsupportedError(
                f"{name} is frozen, and the figures are those of a model that is trained whole",
                hint="for an upper bound: model.requires_grad_(True) in build",
            )
    return model.to_empty(device="meta").to(dtype).train()


def _children(model: nn.Module, path: str) -> dict[str, nn.Module]:
    try:
        found = {f"{path}.{name}": child for name, child in model.get_submodule(path).named_children()}
    except AttributeError as error:
        raise ConfigError(f"no module {path!r} in the model: {error}") from error
    if not found:
        raise ConfigError(f"module {path!r} has no children to be blocks")
    return found


def _largest_repeated(model: nn.Module) -> Mapping[str, nn.Module]:
    """Return the modules of one class in a list that have the most parameters, those that are made of others first."""
    lists = [(path, found) for path, found in model.named_modules() if isinstance(found, LISTS)]
    groups = [group for path, parent in lists for group in _siblings(path, parent)]
    trained = [group for group in groups if _numbers(group.values())]
    return max(trained, key=_size, default={"": model})


def _siblings(path: str, parent: nn.Module) -> list[dict[str, nn.Module]]:
    by_class: dict[type, dict[str, nn.Module]] = defaultdict(dict)
    for name, child in parent.named_children():
        by_class[type(child)][f"{path}.{name}".lstrip(".")] = child
    return [group for group in by_class.values() if len(group) > 1]


def _size(group: Mapping[str, nn.Module]) -> tuple[bool, int]:
    return any(True for block in group.values() for _ in block.children()), _numbers(group.values())


def _numbers(modules: Iterable[nn.Module]) -> int:
    """Return the parameters of modules, those that several share once."""
    return sum(found.numel() for found in {parameter for module in modules for parameter in module.parameters()})


def _storage(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata  # noqa: SLF001  on meta the address of the data is 0
    return address


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)


def _on_meta(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to("meta", dtype if tensor.is_floating_point() else tensor.dtype)


def _as_tuple(sample: Any) -> tuple[Any, ...]:
    return sample if isinstance(sample, tuple) else (sample,)


def _samples(sample: Any) -> int:
    """Return the first dimension of the first tensor."""
    for leaf in tree_leaves(sample):
        if isinstance(leaf, Tensor) and leaf.dim() and len(leaf):
            return len(leaf)
    raise ConfigError("a sample needs a tensor whose first dimension counts the samples, and at least one of them")


def _sum(output: Any) -> Tensor:
    found = [leaf.sum() for leaf in tree_leaves(output) if isinstance(leaf, Tensor) and leaf.requires_grad]
    if not found:
        raise ConfigError(
            f"no tensor with a gradient in the model's output, which is a {type(output).__name__}",
            hint="pass loss=, a function from the output to a scalar",
        )
    return sum(found)


@contextmanager
def _told_of_real_values() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, TypeError) as error:
        if "meta" not in str(error).lower():
            raise
        raise UnsupportedError(
            f"the model asks for values where it has shapes only: {str(error).splitlines()[0]}",
            hint="let shapes and Python numbers decide, not .item() or a tensor's truth; in build, make such numbers "
            "with device='cpu'; or write down a lakemill.parallel.DeepModel",
        ) from error


@contextmanager
def _kernels_of_an_accelerator() -> Iterator[None]:
    """Take fused kernels; else the meta device takes attention that keeps all scores, and masks as wide as the input."""
    with _scoped_library("aten", "IMPL") as library:
        library.impl("scaled_dot_product_attention", _attention, "AutogradMeta")
        library.impl("dropout", _dropout, "AutogradMeta")
        yield


def _attention(  # noqa: PLR0917  the operator's own signature
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if query.dim() != 4:  # no fused kernel takes it
        return SCORED(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)[0]
    if attn_mask is None:
        return FUSED(query, key, value, dropout_p, is_causal, scale=scale)[0]
    groups = query.shape[1] // key.shape[1]
    key, value = (tensor.repeat_interleave(groups, 1) if groups > 1 else tensor for tensor in (key, value))
    bias = attn_mask.to(query.dtype).expand(*query.shape[:3], key.shape[2])
    return MASKED(query, key, value, bias, True, dropout_p, is_causal, scale=scale)[0]


def _dropout(given: Tensor, share: float, train: bool) -> Tensor:
    return torch.ops.aten.native_dropout(given, share, train)[0] if train and share else given
