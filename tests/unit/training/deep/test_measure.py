"""Figures of models against published ones, torch's counter on real models, the allocator and the papers' formulas."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from lakemill.core.errors import ConfigError, UnsupportedError
from lakemill.core.planning import Cluster, LaneCost, NodeType, exact
from lakemill.parallel import ADAM, MIXED_ADAM, Precision, Step, transformer, whole
from lakemill.planner import plan
from lakemill.training.deep import deep_training
from lakemill.training.deep.measure import measured
from tests.unit.training.deep.models import GPT, Llama, next_token

PAGE = Path(__file__).parents[4] / "docs" / "how-to" / "model-size.md"
GIB = 2**30
SIZES = {"heads": 8, "sequence": 128, "vocabulary": 1000}
SMALL = partial(GPT, 4, 256, **SIZES)
GPT2 = partial(GPT, 12, 768, heads=12, sequence=1024, vocabulary=50257)
GPUS = Cluster(
    node=NodeType(
        name="8 x 80 GB",
        cores=96,
        memory_bytes=1000 * GIB,
        accelerators=8,
        accelerator_memory_bytes=80 * 10**9,
        accelerator_flop_per_second=312e12,
        accelerator_bytes_per_second=3e11,
        network_bytes_per_second=1e11,
    ),
    max_nodes=8,
)
LANE = LaneCost(kind="ray", abilities=("gangs", "accelerators"), start_seconds=exact(30), spans_nodes=True)


def tokens(samples: int, length: int) -> torch.Tensor:
    return torch.zeros(samples, length, dtype=torch.long)


def net(*modules: nn.Module) -> nn.Module:
    return nn.Sequential(*modules)


def allocated_bytes(work) -> int:
    """Bytes that the allocator has handed out and not got back when the work is done and its result is held."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        held = work()
    assert held.requires_grad
    return sum(event.self_cpu_memory_usage for event in profiled.key_averages())


@pytest.fixture(scope="module")
def measurement():
    """Llama 2 7B, the seconds that it took, and by how many bytes the peak of this process grew."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model = measured(Llama, tokens(1, 4096), loss=next_token, heads=32)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return model, time.perf_counter() - started, grown * 1024


@pytest.fixture(scope="module")
def llama(measurement):
    return measurement[0]


@pytest.fixture(scope="module")
def gpt2():
    return measured(GPT2, tokens(1, 1024), loss=next_token, heads=12)


def test_seven_billion_parameters_are_measured_in_seconds_without_allocating_them(measurement):
    model, seconds, grown_bytes = measurement
    assert model.parameters == 6_738_415_616
    assert (model.layers, model.layer.parameters) == (32, 4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096)
    assert seconds < 60
    assert grown_bytes < GIB / 2  # the parameters alone would take 13.5 GB


def test_gpt2_has_its_published_parameters_with_the_tied_weight_counted_once(gpt2):
    assert gpt2.parameters == 124_439_808
    assert (gpt2.layers, gpt2.boundary_bytes_per_sample) == (12, 2 * 1024 * 768)


def test_flops_are_six_for_each_weight_and_token_and_those_of_attention(gpt2, llama):
    """Narayanan et al. (2021), equation 3; fused attention multiplies queries and keys again, so 14 sums and not 12."""
    for model, layers, hidden, s, weights in (
        (gpt2, 12, 768, 1024, 50257 * 768),
        (llama, 32, 4096, 4096, 32000 * 4096),
    ):
        matrices = layers * 12 * hidden**2 if layers == 12 else layers * (4 * hidden**2 + 3 * hidden * 11008)
        assert model.flops_per_sample == 6 * (matrices + weights) * s + layers * 14 * s**2 * hidden
    by_hand = measured(partial(SMALL, fused=False), tokens(2, 128), loss=next_token)
    assert by_hand.flops_per_sample == transformer(4, 256, **SIZES).flops_per_sample
    assert by_hand.layer.flops_per_sample == transformer(4, 256, **SIZES).layer.flops_per_sample


@pytest.mark.parametrize(
    ("build", "sample"),
    [
        (partial(SMALL, fused=False), tokens(2, 128)),
        (lambda: net(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)), torch.rand(4, 3, 8, 8)),
        (lambda: nn.TransformerEncoderLayer(32, 4, dropout=0.0, batch_first=True), torch.rand(3, 7, 32)),
    ],
)
def test_flops_are_those_that_torch_counts_on_a_real_model(build, sample):
    with FlopCounterMode(display=False) as counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        build()(sample).sum().backward()
    model = measured(build, sample, precision=ADAM)
    assert model.flops_per_sample * len(sample) == pytest.approx(counter.get_total_flops(), rel=0.01)


@pytest.mark.parametrize("fused", [True, False])
def test_activations_are_what_the_allocator_holds(fused):
    build, sample = partial(SMALL, fused=fused), tokens(2, 128)
    real, found = build(), measured(build, sample, loss=next_token, precision=ADAM)
    kept, again = (whole(found, Step(micro_batch_samples=2, recompute=each)) for each in (False, True))
    assert allocated_bytes(lambda: next_token(real(sample))) == pytest.approx(kept.activation_bytes, rel=0.001)
    for block in real.blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    # the recomputed layer is not there yet when the forward pass ends; states of random generators are extra
    without_work = again.activation_bytes - kept.layer_activation_bytes
    assert allocated_bytes(lambda: next_token(real(sample))) == pytest.approx(without_work, rel=0.01)


@pytest.mark.parametrize("precision", [MIXED_ADAM, ADAM])
def test_activations_are_those_of_the_formula(precision):
    """Korthikanti et al. (2022), section 4.1; the projection's input counts as replicated, which is the safe side."""
    build = partial(SMALL, fused=False, dropout=0.1)
    found = measured(build, tokens(2, 128), loss=next_token, precision=precision)
    formula = transformer(4, 256, precision=precision, **SIZES)
    cuts = [whole(model, Step(micro_batch_samples=2)) for model in (found, formula)]
    assert cuts[0].layer_activation_bytes == pytest.approx(cuts[1].layer_activation_bytes, rel=0.01)
    assert cuts[0].working_bytes == pytest.approx(cuts[1].working_bytes, rel=0.01)
    assert found.boundary_bytes_per_sample == formula.boundary_bytes_per_sample
    projected = precision.parameter_bytes * 128 * 256
    assert found.layer.replicated_bytes_per_sample == pytest.approx(
        formula.layer.replicated_bytes_per_sample + projected, rel=0.01
    )


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("masked", [True, False])
def test_fused_attention_keeps_no_scores(masked, groups):
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.kv = nn.Linear(32, 32), nn.Linear(32, 2 * 32 // groups)

        def forward(self, x):
            b, s, _ = x.shape
            k, v = self.kv(x).chunk(2, -1)
            q, k, v = (t.view(b, s, -1, 8).transpose(1, 2) for t in (self.q(x), k, v))
            mask = torch.ones(s, s, dtype=torch.bool).tril() if masked else None
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=groups > 1)

    found = measured(Attends, torch.rand(3, 512, 32), precision=ADAM)
    scores = 4 * 4 * 512**2
    kept = whole(found, Step(micro_batch_samples=3)).layer_activation_bytes / 3
    assert kept < scores / 4
    assert found.flops_per_sample > 14 * 512**2 * 32 - 1


def blocks_of(build, sample, **options) -> int:
    return measured(build, sample, precision=ADAM, **options).layers


def test_blocks_are_the_largest_of_one_class_in_a_list():
    def encoder():
        return nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, batch_first=True), 3, enable_nested_tensor=False)

    def wide_words():
        return GPT(2, 16, heads=2, sequence=8, vocabulary=5000)

    def plain():
        return net(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))

    assert blocks_of(encoder, torch.rand(2, 5, 32)) == 3
    assert blocks_of(wide_words, tokens(1, 8)) == 2
    assert blocks_of(plain, torch.rand(2, 8)) == 3
    assert blocks_of(lambda: nn.TransformerEncoderLayer(32, 4, batch_first=True), torch.rand(2, 5, 32)) == 1
    assert blocks_of(lambda: net(nn.Linear(8, 4), nn.ReLU()), torch.rand(2, 8)) == 1
    assert blocks_of(partial(SMALL, fused=False), tokens(1, 128), blocks="blocks.0") == 5


def test_the_parts_add_up_to_the_whole_however_it_is_divided():
    found = [measured(SMALL, tokens(2, 128), blocks=name) for name in ("blocks", "blocks.1", "")]
    assert {model.parameters for model in found} == {4 * (12 * 256**2 + 13 * 256) + (1000 + 128) * 256 + 2 * 256}
    assert len({model.flops_per_sample for model in found}) == 1


def test_a_model_that_recomputes_its_blocks_keeps_their_inputs_and_computes_them_again():
    class Checkpointed(GPT):
        def forward(self, tokens):
            for block in self.blocks:
                block.forward = partial(checkpoint, partial(type(block).forward, block), use_reentrant=False)
            return super().forward(tokens)

    plain, again = (
        measured(partial(kind, 4, 256, fused=False, **SIZES), tokens(2, 128)) for kind in (GPT, Checkpointed)
    )
    kept = again.layer.replicated_bytes_per_sample + again.layer.split_bytes_per_sample
    assert kept == pytest.approx(plain.boundary_bytes_per_sample, rel=0.05)
    assert again.boundary_bytes_per_sample == plain.boundary_bytes_per_sample
    last_product = 2 * 128 * 4 * 256**2  # whose result the backward pass does not need
    repeated = plain.layer.flops_per_sample / 3 - last_product
    assert again.flops_per_sample == plain.flops_per_sample + 4 * repeated


def test_samples_of_tuples_and_keywords_count_by_their_first_dimension():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.each = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

        def forward(self, one, *, other=None):
            return {"sum": self.each[0](one) + self.each[1](one if other is None else other)}

    one, two = torch.rand(5, 4), torch.rand(10, 4)
    found = [measured(Two, sample) for sample in (one, (two,), {"one": one, "other": one})]
    # neither product hands a gradient to the data
    assert [model.flops_per_sample for model in found] == [2 * 2 * 2 * 16] * 3


class Asks(nn.Module):
    def __init__(self, how) -> None:
        super().__init__()
        self.linear, self.how = nn.Linear(4, 4), how

    def forward(self, x):
        return self.how(self.linear(x))


@pytest.mark.parametrize(
    "how",
    [
        lambda x: x if x.sum() > 0 else -x,
        lambda x: x * x.mean().item(),
        lambda x: x[x > 0],
        lambda x: x * float(x.detach().numpy().mean()),
    ],
)
def test_a_model_that_asks_for_values_is_told_what_to_do(how):
    with pytest.raises(UnsupportedError, match=r"asks for values where it has shapes only[\s\S]*hint: let shapes"):
        measured(lambda: Asks(how), torch.rand(2, 4))


def test_faults_of_the_model_stay_its_own():
    with pytest.raises(RuntimeError, match="same reduction dim"):
        measured(lambda: nn.Linear(3, 3), torch.rand(2, 4))


def frozen() -> nn.Module:
    return nn.Linear(4, 4).requires_grad_(requires_grad=False)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"build": lambda: nn.Linear(4, 4, device="cpu")}, UnsupportedError, "a model that exists: weight is on cpu"),
        ({"build": frozen}, UnsupportedError, "weight is frozen"),
        ({"build": lambda: 3}, ConfigError, "build must return a torch.nn.Module, got int"),
        ({"sample": 3}, ConfigError, "a sample needs a tensor"),
        ({"build": lambda: Asks(torch.detach)}, ConfigError, "no tensor with a gradient in the model's output"),
        ({"blocks": "layers"}, ConfigError, "no module 'layers'"),
        ({"blocks": "0"}, ConfigError, "module '0' has no children"),
        ({"precision": Precision(parameter_bytes=1, gradient_bytes=1, optimizer_bytes=1)}, ConfigError, "2, 4 or 8"),
    ],
)
def test_what_can_not_be_measured_is_refused(options, kind, message):
    given = {"build": lambda: net(nn.Linear(4, 4)), "sample": torch.rand(2, 4), **options}
    with pytest.raises(kind, match=message):
        measured(given.pop("build"), given.pop("sample"), **given)


def test_torch_works_as_before_when_a_measurement_has_ended():
    q = torch.rand(1, 2, 4, 8, device="meta", requires_grad=True)
    assert "Flash" not in type(F.scaled_dot_product_attention(q, q, q).grad_fn).__name__
    measured(SMALL, tokens(1, 128))
    assert "Flash" not in type(F.scaled_dot_product_attention(q, q, q).grad_fn).__name__


def test_without_torch_the_error_names_the_install_command():
    code = (
        "import sys, lakemill, lakemill.training.deep; assert 'torch' not in sys.modules; sys.modules['torch'] = None\n"
        "import lakemill.training.deep.measure"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtraError" in told.stderr
    assert "pip install 'lakemill[torch]'" in told.stderr


def test_a_plan_shards_seven_billion_parameters_and_leaves_gpt2_whole(llama, gpt2):
    large = plan(deep_training(llama, 100_000, batch_samples=256), lanes=[LANE], clusters=[GPUS])
    kinds = {kind for kind, _ in large.choice.cut}
    assert kinds & {"zero 1", "zero 2", "zero 3", "tensor", "pipeline"}
    assert large.bottleneck == "model size"
    assert large.choice.held_bytes.high <= 80e9
    assert any("can't hold" in reason for reason in large.reasons)
    assert large.assumed == ("utilisation",)
    one_node = replace(GPUS, max_nodes=1)
    small = plan(deep_training(gpt2, 100_000, batch_samples=256), lanes=[LANE], clusters=[one_node])
    assert {kind for kind, _ in small.choice.cut} <= {"ddp"}
    assert any("fits one device" in reason for reason in small.reasons)


def test_the_guess_of_the_utilisation_is_named_and_a_measured_one_is_not(gpt2):
    guessed = deep_training(gpt2, 1000, batch_samples=8, bytes_per_sample=2048)
    assert (guessed.assumed, guessed.bytes, guessed.rows) == (("utilisation",), 2_048_000, 1000)
    assert guessed.utilisation.high / guessed.utilisation.low == pytest.approx(3)
    assert deep_training(gpt2, 1000, batch_samples=8, utilisation=exact(0.45)).assumed == ()
    with pytest.raises(ConfigError, match="batch_samples must be a multiple of micro_batch_samples=3"):
        deep_training(gpt2, 1000, batch_samples=8, micro_batch_samples=3)


def test_the_page_s_example_prints_what_the_page_shows(capsys):
    code, shown = re.findall(r"^```(?:python|text)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out == shown
