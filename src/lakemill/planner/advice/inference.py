"""Batch, streaming or real-time inference: ranked, those refused that break a need, one recommended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import ceil, sqrt
from typing import Final, Literal

from lakemill.core.planning import BreakEven
from lakemill.core.records import record
from lakemill.planner.advice.inference_modes import Inference, InferenceOption, Mode, modes_of, streamed_rows
from lakemill.planner.wording import in_seconds

Criterion = Literal["latency", "throughput", "cost", "freshness"]

HOUR: Final = 3_600.0
TOLERANCE: Final = 0.10
DOUBLINGS: Final = 16
BISECTIONS: Final = 20
SIMPLEST: Final[tuple[Mode, ...]] = ("batch", "real-time", "streaming")


@record
class InferenceAdvice:
    """How to serve, and why.

    Parameters
    ----------
    choice
        The simplest within 10 % of the cheapest that meets the needs; None if none does.
    options
        All three, but for those that can't keep up.
    ranks
        By criterion the modes with their places, the best first; equals share a place.
    refused
        Modes with what speaks against them.
    break_even
        Where the choice changes.
    """

    inference: Inference
    choice: InferenceOption | None
    options: tuple[InferenceOption, ...]
    ranks: tuple[tuple[Criterion, tuple[tuple[Mode, int], ...]], ...]
    refused: tuple[tuple[Mode, str], ...]
    reasons: tuple[str, ...]
    break_even: tuple[BreakEven, ...]
    assumed: tuple[str, ...]


def advise_inference(inference: Inference) -> InferenceAdvice:
    """Rank batch, streaming and real-time inference, and recommend one.

    Each gets the fewest nodes with which it meets the needs, and batch the longest pause.

    Examples
    --------
    >>> from lakemill.core.planning import exact
    >>> asked = Inference(requests_per_second=20, seconds_per_row=exact(0.01), latency_seconds=0.2)
    >>> advice = advise_inference(asked)
    >>> advice.choice.mode, advice.choice.nodes, [mode for mode, _ in advice.refused]
    ('real-time', 1, ['batch', 'streaming'])
    """
    options = modes_of(inference)
    choice = _choose(options)
    return InferenceAdvice(
        inference=inference,
        choice=choice,
        options=options,
        ranks=tuple(_ranks(options)),
        refused=tuple(_refused(inference, options)),
        reasons=tuple(_reasons(inference, options, choice)),
        break_even=tuple(_break_even(inference, choice)) if choice else (),
        assumed=inference.assumed,
    )


def _choose(options: Sequence[InferenceOption]) -> InferenceOption | None:
    allowed = [option for option in options if not option.breaks]
    if not allowed:
        return None
    most = min(option.node_hours_per_day.value for option in allowed) * (1 + TOLERANCE)
    near = (option for option in allowed if option.node_hours_per_day.value <= most)
    return min(near, key=lambda option: SIMPLEST.index(option.mode))


def _ranks(options: Sequence[InferenceOption]) -> Iterator[tuple[Criterion, tuple[tuple[Mode, int], ...]]]:
    keys: dict[Criterion, Callable[[InferenceOption], float]] = {
        "latency": lambda option: option.latency.value,
        "throughput": lambda option: -option.rows_per_second.value,
        "cost": lambda option: option.node_hours_per_day.value,
        "freshness": lambda option: option.age.value,
    }
    for criterion, key in keys.items():
        places = [(option.mode, 1 + sum(key(other) < key(option) for other in options)) for option in options]
        yield criterion, tuple(sorted(places, key=lambda place: place[1]))


def _refused(inference: Inference, options: Sequence[InferenceOption]) -> Iterator[tuple[Mode, str]]:
    priced = {option.mode: option for option in options}
    for mode in SIMPLEST:
        if mode not in priced:
            yield mode, _too_few(inference, mode)
        elif priced[mode].breaks:
            yield mode, "; ".join(priced[mode].breaks)


def _too_few(inference: Inference, mode: Mode) -> str:
    """Return what the peak asks for, overheads aside."""
    rows = streamed_rows(inference) if mode == "streaming" else inference.peak * inference.rows_per_request
    least = ceil(rows * inference.seconds_per_row.value / inference.most_busy / inference.workers_per_node)
    return f"at least {least} nodes for {rows:,.6g} rows a second at the peak, max_nodes is {inference.max_nodes}"


def _reasons(inference: Inference, options: Sequence[InferenceOption], choice: InferenceOption | None) -> Iterator[str]:
    if choice:
        yield f"{choice.mode} is the simplest within {TOLERANCE:.0%} of the cheapest that meets the needs"
    else:
        yield "nothing meets the needs: relax what stands against one of the modes"
    yield from (_told(option) for option in options)
    for option in options:
        need = inference.latency_seconds
        if not option.breaks and need is not None and option.latency.high > need:
            yield f"{option.mode}: at its upper bound, {in_seconds(option.latency.high)}, an answer takes longer than allowed"


def _told(option: InferenceOption) -> str:
    nodes = f"{option.nodes} node{'s' if option.nodes > 1 else ''}"
    if option.mode == "real-time":
        return f"real-time: {nodes} always on, 95% of answers within {in_seconds(option.latency.value)} at the peak"
    every = in_seconds(option.every_seconds)
    if option.mode == "streaming":
        return f"streaming: {nodes} always on, a micro-batch every {every}"
    busy = option.node_hours_per_day.value / option.nodes / 24
    return f"batch: {nodes}, a run every {every}, {busy:.0%} of the time"


def _break_even(inference: Inference, choice: InferenceOption) -> Iterator[BreakEven]:
    """Return the requests an hour at which another mode is chosen, and the pause at which batch costs an endpoint."""
    for more in (True, False):
        flip = _flip(inference, choice.mode, more=more)
        if flip:
            times, becomes = flip
            yield BreakEven(
                quantity="requests an hour", amount=inference.requests_per_second * HOUR * times, becomes=becomes
            )
    pause = _pause(inference)
    if pause:
        yield BreakEven(quantity="seconds between batch runs", amount=pause, becomes="real-time")


def _flip(inference: Inference, mode: Mode, *, more: bool) -> tuple[float, Mode] | None:
    """Return by how much requests must change for another mode to be chosen; doubled or halved, then bisected."""
    step = 2.0 if more else 0.5
    last, times = 1.0, step
    for _ in range(DOUBLINGS):
        becomes = _mode_at(inference, times)
        if becomes is None:
            return None
        if becomes != mode:
            return _bisected(inference, mode, last, times)
        last, times = times, times * step
    return None


def _bisected(inference: Inference, mode: Mode, same: float, other: float) -> tuple[float, Mode]:
    for _ in range(BISECTIONS):
        middle = sqrt(same * other)
        same, other = (middle, other) if _mode_at(inference, middle) == mode else (same, middle)
    return other, _mode_at(inference, other) or mode


def _mode_at(inference: Inference, times: float) -> Mode | None:
    asked = replace(
        inference,
        requests_per_second=inference.requests_per_second * times,
        peak_requests_per_second=inference.peak * times,
    )
    choice = _choose(modes_of(asked))
    return choice.mode if choice else None


def _pause(inference: Inference) -> float | None:
    """Return how often a batch must run to cost as much as an endpoint that is always on."""
    found = {option.mode: option for option in modes_of(inference) if not option.breaks}
    if "batch" not in found or "real-time" not in found:
        return None
    batch, always = found["batch"], found["real-time"]
    row = inference.seconds_per_row.value / inference.workers_per_node
    grows = 0.0 if inference.rows_ahead else inference.requests_per_second * inference.rows_per_request * row
    fixed = batch.nodes * (inference.start_seconds.value + inference.seconds_per_call.value) + row * (
        inference.rows_ahead or 0
    )
    pause = fixed / (always.nodes - grows) if always.nodes > grows else None
    return pause if pause and pause * batch.nodes >= fixed else None
