"""Laws of the fold, and schedules played out by hand as oracles."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import astuple

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lakemill.core.errors import ConfigError, UnsupportedError
from lakemill.core.records import to_json
from lakemill.parallel import ADAM, CUTS, SGD, Cut, DeepModel, Part, Precision, Step, fold, transformer

DDP, TENSOR, PIPELINE = (CUTS.build({"kind": kind}) for kind in ("ddp", "tensor", "pipeline"))
ZERO = {stage: CUTS.build({"kind": "zero", "stage": stage}) for stage in (1, 2, 3)}
EVERY = {"ddp": DDP, "tensor": TENSOR, "pipeline": PIPELINE, **{f"zero{stage}": zero for stage, zero in ZERO.items()}}
SMALL = transformer(24, 96, heads=12, sequence=64, vocabulary=1000)

models = st.builds(
    transformer,
    st.integers(1, 48),
    st.integers(1, 64).map(lambda n: 12 * n),
    heads=st.just(12),
    sequence=st.integers(1, 512),
    vocabulary=st.integers(1, 5000),
    precision=st.sampled_from([ADAM, SGD, Precision(parameter_bytes=2, gradient_bytes=4, optimizer_bytes=12)]),
)
steps = st.builds(
    Step, micro_batch_samples=st.integers(1, 8), micro_batches=st.integers(1, 64), recompute=st.booleans()
)


def interleaved(runs: int):
    return CUTS.build({"kind": "pipeline", "interleave": runs})


def same(one: Cut, other: Cut) -> bool:
    """Whether two cuts hold and move the same, but for the order of the cuts and the last bits."""
    numbers = [[v for v in astuple(cut) if isinstance(v, float | int)] for cut in (one, other)]
    wires = [sorted((w.kind, w.collective, w.ranks, round(w.sent_bytes)) for w in cut.wires) for cut in (one, other)]
    return (
        numbers[0] == pytest.approx(numbers[1])
        and wires[0] == wires[1]
        and sorted(one.degrees) == sorted(other.degrees)
    )


def layers_only(layers: int) -> DeepModel:
    layer, outer = Part(parameters=8e6, flops_per_sample=5), Part(parameters=0, flops_per_sample=0)
    return DeepModel(layers=layers, heads=8, layer=layer, outer=outer, boundary_bytes_per_sample=7, precision=ADAM)


@given(models, steps, st.lists(st.sampled_from([TENSOR, PIPELINE]), max_size=2, unique=True), st.sampled_from([*EVERY]))
def test_degree_1_changes_nothing(model, step, before, kind):
    ways = [(way, min(2, model.layers)) for way in before if way is not EVERY[kind]]
    assume(kind not in ("zero2", "zero3") or (PIPELINE, 2) not in ways)
    assert fold(model, step, ways=[*ways, (EVERY[kind], 1)]) == fold(model, step, ways=ways)


@given(models, steps, st.sampled_from([1, 2, 3, 4, 6, 12]), st.integers(1, 8))
def test_tensor_and_pipeline_commute(model, step, tensor, pipeline):
    ways = [(TENSOR, tensor), (PIPELINE, min(pipeline, model.layers))]
    assert same(fold(model, step, ways=ways), fold(model, step, ways=ways[::-1]))


@given(models, steps, st.integers(1, 1024))
def test_shards_of_zero_add_up(model, step, degree):
    uncut = fold(model, step, ways=[])
    optimizer, gradients, parameters = (fold(model, step, ways=[(ZERO[stage], degree)]) for stage in (1, 2, 3))
    for cut in (optimizer, gradients, parameters):
        assert cut.optimizer_bytes * degree == pytest.approx(uncut.optimizer_bytes)
    assert optimizer.gradient_bytes == uncut.gradient_bytes
    assert gradients.gradient_bytes * degree == pytest.approx(uncut.gradient_bytes)
    assert gradients.parameter_bytes == uncut.parameter_bytes
    assert parameters.state_bytes * degree == pytest.approx(uncut.state_bytes)
    assert parameters.flops == uncut.flops


@given(steps, st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 3, 6]), st.integers(1, 64))
def test_a_product_of_three_adds_up(step, tensor, pipeline, data):
    model = layers_only(12)
    cut = fold(model, step, ways=[(TENSOR, tensor), (PIPELINE, pipeline), (ZERO[1], data)])
    uncut = fold(model, step, ways=[])
    assert cut.ranks == tensor * pipeline * data
    assert cut.parameter_bytes * tensor * pipeline == pytest.approx(uncut.parameter_bytes)
    assert cut.optimizer_bytes * cut.ranks == pytest.approx(uncut.optimizer_bytes)
    assert cut.flops * tensor * pipeline == pytest.approx(uncut.flops)


def test_the_fullest_stage_counts():
    cut = fold(layers_only(10), Step(), ways=[(PIPELINE, 4)])
    assert (cut.layers, cut.parameter_bytes) == (3, 3 * 8e6 * 4)
    deepest = fold(SMALL, Step(), ways=[(PIPELINE, 24)])
    assert deepest.parameter_bytes == pytest.approx(2 * (12 * 96**2 + 13 * 96 + (1000 + 64) * 96))


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_ring_all_reduce_played_out(ranks):
    """Each rank passes one chunk on in each round: first sums, then the sums' copies."""
    chunks = [[10**rank] * ranks for rank in range(ranks)]
    sent = [0] * ranks
    for turn in range(2 * (ranks - 1)):
        before = [list(row) for row in chunks]
        for rank in range(ranks):
            place, right = (rank - turn) % ranks, (rank + 1) % ranks
            chunks[right][place] = before[rank][place] + (before[right][place] if turn < ranks - 1 else 0)
            sent[rank] += 1
    assert chunks == [[sum(10**rank for rank in range(ranks))] * ranks] * ranks
    (wire,) = DDP.ring("all_reduce", ranks, payload_bytes=ranks)
    assert sent == [wire.sent_bytes] * ranks


@pytest.mark.parametrize(("stages", "passes"), [(2, 1), (4, 4), (4, 16), (3, 7)])
def test_gpipe_bubble_played_out(stages, passes):
    """GPipe runs pass k on stage i at time i + k, forward and then backward again."""
    busy = {(stage, stage + k) for stage in range(stages) for k in range(passes)}
    duration = 1 + max(time for _, time in busy)
    cut = fold(SMALL, Step(micro_batches=passes), ways=[(PIPELINE, stages)])
    assert cut.idle_share == pytest.approx(1 - len(busy) / (stages * duration))
    assert cut.idle_share == pytest.approx((stages - 1) / (passes + stages - 1))


@pytest.mark.parametrize(("stages", "runs", "passes"), [(2, 3, 4), (4, 2, 8), (4, 6, 16)])
def test_interleaving_divides_the_bubble(stages, runs, passes):
    """Narayanan et al. (2021), section 2.2.2: the bubble is ``(p-1)/(vm)`` of the ideal time; Korthikanti: memory."""
    cut = fold(SMALL, Step(micro_batches=passes), ways=[(interleaved(runs), stages)])
    assert cut.idle_share / (1 - cut.idle_share) == pytest.approx((stages - 1) / (runs * passes))
    assert cut.layers_kept == pytest.approx(24 * (1 + (stages - 1) / (stages * runs)))


@pytest.mark.parametrize(("stages", "passes", "kept"), [(4, 1, 6), (4, 2, 12), (4, 4, 24), (4, 64, 24), (8, 64, 24)])
def test_a_stage_keeps_the_micro_batches_in_flight(stages, passes, kept):
    assert fold(SMALL, Step(micro_batches=passes), ways=[(PIPELINE, stages)]).layers_kept == kept


@pytest.mark.parametrize(("stages", "runs"), [(2, 1), (3, 1), (8, 1), (2, 3), (3, 4), (4, 2)])
def test_sends_of_a_pipeline_counted(stages, runs):
    sends = [0] * stages
    for run in range(stages * runs - 1):
        sends[run % stages] += 1  # its output, forward
        sends[(run + 1) % stages] += 1  # the gradient of the next one's input, backward
    step = Step(micro_batch_samples=2, micro_batches=stages * 3)
    (wire,) = fold(SMALL, step, ways=[(interleaved(runs), stages)]).wires
    assert wire.sent_bytes == max(sends) * 2 * stages * 3 * SMALL.boundary_bytes_per_sample


def test_zero_gathers_the_largest_part_and_reduces_every_micro_batch():
    model, step = layers_only(4), Step(micro_batches=8)
    whole, cut = (fold(model, step, ways=[(ZERO[3], degree)]) for degree in (1, 4))
    assert cut.working_bytes - whole.working_bytes == 8e6 * (4 + 4) * 3 / 4
    per_pass = 4 * 8e6 * 4 * 3 / 4
    sent = {stage: [w.sent_bytes for w in fold(model, step, ways=[(ZERO[stage], 4)]).wires] for stage in (1, 2, 3)}
    assert sent == {1: [per_pass, per_pass], 2: [8 * per_pass, per_pass], 3: [8 * per_pass, 16 * per_pass]}


def test_recomputation_costs_a_third_and_repeats_the_forward_sums():
    kept, again = (fold(layers_only(4), Step(recompute=r), ways=[(TENSOR, 2)]) for r in (False, True))
    assert again.flops == pytest.approx(kept.flops * 4 / 3)
    assert again.wires[0].sent_bytes == kept.wires[0].sent_bytes * 6 / 4


@pytest.mark.parametrize(
    ("ways", "reason"),
    [
        ([(TENSOR, 5)], "12 heads don't go into 5 equal parts\n  hint: allowed degrees: 1, 2, 3, 4, 6, 12"),
        ([(PIPELINE, 25)], "got 25 stages for 24 layers"),
        ([(interleaved(5), 2)], "layers in multiples of 10 and micro-batches in multiples of 2, got 24 layers"),
        ([(interleaved(2), 3)], "micro-batches in multiples of 3, got 24 layers and 4 micro-batches"),
        ([(PIPELINE, 2), (ZERO[2], 2)], "ZeRO stage 2 communicates in every micro-batch"),
        ([(PIPELINE, 2), (ZERO[3], 2)], "ZeRO stage 3 communicates in every micro-batch"),
        ([(ZERO[1], 2), (DDP, 2)], "ddp cuts the data axis, which is cut 2 ways already"),
        ([(TENSOR, 2), (TENSOR, 3)], "tensor cuts the tensor axis, which is cut 2 ways already"),
        ([(DDP, 2), (PIPELINE, 2)], "pipeline comes after a cut of the data axis"),
    ],
)
def test_refused_cuts_say_why(ways, reason):
    with pytest.raises(UnsupportedError) as refused:
        fold(SMALL, Step(micro_batches=4), ways=ways)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: fold(SMALL, Step(), ways=[(DDP, 0)]), "a ddp cut needs a degree of 1 or more, got 0"),
        (lambda: CUTS.build({"kind": "zero", "stage": 4}), "a stage of ZeRO is 1, 2 or 3, got 4"),
        (lambda: interleaved(0), "interleave must be 1 or more, got 0"),
        (lambda: Step(micro_batches=0), r"got \(1, 0\)"),
        (lambda: layers_only(0), "a model needs layers"),
    ],
)
def test_impossible_amounts_are_refused_at_birth(wrong, message):
    with pytest.raises(ConfigError, match=message):
        wrong()


def test_every_kind_is_found_and_a_cut_is_data():
    assert {"ddp", "pipeline", "tensor", "zero"} <= set(CUTS.kinds())
    assert '"degrees":[["tensor",2],["data",4]]' in to_json(fold(SMALL, Step(), ways=[(TENSOR, 2), (DDP, 4)]))


def test_arithmetic_loads_no_heavy_package():
    code = (
        "import sys; from lakemill.parallel import CUTS; [CUTS.load(kind) for kind in ('ddp', 'zero', 'tensor', "
        "'pipeline')]; print({'torch', 'numpy', 'ray', 'pyspark', 'pandas'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
