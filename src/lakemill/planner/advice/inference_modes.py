"""What batch, streaming and real-time inference take: nodes, seconds, money."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal

from lakemill.core.errors import ConfigError
from lakemill.core.planning import NOTHING, Interval, check_between, exact, total, within
from lakemill.core.records import record
from lakemill.planner.advice.queueing import steady_share, waiting_seconds
from lakemill.planner.wording import in_seconds

Mode = Literal["batch", "streaming", "real-time"]

DAY: Final = 86_400.0
QUANTILE: Final = 0.95
START: Final = within(60.0, 0.5)  # assumed, until somebody measures: a node or container, the engine, the model
MICROBATCH: Final = within(0.5, 0.5)  # assumed: planning and committing of one
LOOKUP: Final = within(0.005, 0.5)  # assumed: a key in an online store
GUESSES: Final = {"start_seconds": START, "microbatch_seconds": MICROBATCH, "lookup_seconds": LOOKUP}


@record
class Inference:
    """Who asks for predictions, what one costs, and what is needed of it.

    Parameters
    ----------
    requests_per_second, peak_requests_per_second
        Mean over a day, and at the busiest time; the mean if None.
    seconds_per_call, seconds_per_row
        Of the model in one worker: for each call however many rows it has, and for each row.
    rows_ahead
        Rows that must be scored before anybody asks, so that every request finds its prediction in a store; None
        where a request brings its own features, so that whoever asks waits for the next run.
    changes_per_second
        Of rows among `rows_ahead` whose features change; None for as many as are asked for.
    latency_seconds
        From a request to its prediction, at most, for 95 of 100; None if nobody waits.
    freshness_seconds
        Age of the features under a prediction, at most; None if a day will do.
    price_per_hour
        Of a node; None to compare hours of nodes.
    most_busy
        Share of the time that workers of a service may be busy at the peak.
    start_seconds, microbatch_seconds, lookup_seconds
        Of a batch run before its first row, of a micro-batch beyond its rows, of a prediction read from the store.
    """

    requests_per_second: float
    seconds_per_row: Interval
    seconds_per_call: Interval = NOTHING
    peak_requests_per_second: float | None = None
    rows_per_request: int = 1
    rows_ahead: int | None = None
    changes_per_second: float | None = None
    latency_seconds: float | None = None
    freshness_seconds: float | None = None
    price_per_hour: float | None = None
    workers_per_node: int = 1
    max_nodes: int = 64
    most_busy: float = 0.7
    start_seconds: Interval = START
    microbatch_seconds: Interval = MICROBATCH
    lookup_seconds: Interval = LOOKUP

    def __post_init__(self) -> None:
        """Refuse impossible amounts at birth."""
        check_between(self, "requests_per_second", least=1e-9)
        check_between(self, "rows_per_request", "workers_per_node", "max_nodes", least=1)
        check_between(self, "most_busy", least=0.01, most=0.99)
        bounds = {
            "peak_requests_per_second": self.requests_per_second,
            "rows_ahead": 1,
            "changes_per_second": 0,
            "latency_seconds": 1e-6,
            "freshness_seconds": 1e-6,
            "price_per_hour": 0,
        }
        for name, least in bounds.items():
            if getattr(self, name) is not None:
                check_between(self, name, least=least)
        if self.seconds_per_row.low <= 0:
            raise ConfigError(f"seconds_per_row must be above 0, got {self.seconds_per_row.low}")

    @property
    def peak(self) -> float:
        """Requests a second at the busiest time."""
        return self.peak_requests_per_second or self.requests_per_second

    @property
    def assumed(self) -> tuple[str, ...]:
        """Fields that nobody gave."""
        guessed = [name for name, guess in GUESSES.items() if getattr(self, name) == guess]
        return (*guessed, "changes_per_second") if self.rows_ahead and self.changes_per_second is None else (*guessed,)


@record
class InferenceOption:
    """One way to serve.

    Parameters
    ----------
    nodes
        Busy all day, but for batch, whose nodes are there while it runs.
    every_seconds
        From the start of a run or micro-batch to the next; 0 for real-time.
    latency
        Seconds from a request to its prediction, for 95 of 100.
    age
        Seconds from when features are read to when the prediction is last given out, at worst.
    rows_per_second
        That a node can take, with what each run or call takes beside; of a service at its `most_busy`.
    node_hours_per_day, money_per_day
        Money is None where a node has no price.
    breaks
        Needs that it doesn't meet, in words.
    """

    mode: Mode
    nodes: int
    every_seconds: float
    latency: Interval
    age: Interval
    rows_per_second: Interval
    node_hours_per_day: Interval
    money_per_day: Interval | None = None
    breaks: tuple[str, ...] = ()


def modes_of(inference: Inference) -> tuple[InferenceOption, ...]:
    """Return each mode with the fewest nodes that do; those that can't keep up are left out."""
    found = (_smallest(inference, price) for price in (_batch, _real_time, _streaming))
    return tuple(option for option in found if option)


_Price = Callable[[Inference, int], InferenceOption | None]


def _smallest(inference: Inference, price: _Price) -> InferenceOption | None:
    """Return the fewest nodes that meet the needs; the fewest that keep up where none do; None where none keep up."""
    keeps_up = None
    for nodes in range(1, inference.max_nodes + 1):
        option = price(inference, nodes)
        if option and not option.breaks:
            return option
        keeps_up = keeps_up or option
    return keeps_up


def _batch(inference: Inference, nodes: int) -> InferenceOption | None:
    """Return runs that are as rare as the needs allow; back to back where they don't allow for a pause."""
    start, row = inference.start_seconds, inference.seconds_per_row * (1 / (nodes * inference.workers_per_node))
    grows = 0.0 if inference.rows_ahead else inference.peak * inference.rows_per_request * row.value
    if grows >= inference.most_busy:
        return None
    ahead = inference.rows_ahead or 0
    fixed = total([start, inference.seconds_per_call, row * ahead])
    every = max((_longest(inference) - fixed.value) / (1 + grows), fixed.value / (1 - grows))
    brought = 0.0 if ahead else inference.peak * inference.rows_per_request * every
    run = total([fixed, row * brought])
    usual = total([fixed, row * (brought * inference.requests_per_second / inference.peak)])
    return _judged(
        inference,
        mode="batch",
        nodes=nodes,
        every=every,
        age=total([exact(every), run]),
        rows_per_second=exact((ahead or brought) / nodes).over(run),
        node_hours=usual * (24 * nodes / every),
    )


def _longest(inference: Inference) -> float:
    """Return how old a prediction of a batch may be."""
    waits = None if inference.rows_ahead else inference.latency_seconds
    return min(need for need in (inference.freshness_seconds, waits, DAY) if need is not None)


def _streaming(inference: Inference, nodes: int) -> InferenceOption | None:
    """Return micro-batches as frequent as the workers may be busy."""
    row = inference.seconds_per_row * (1 / (nodes * inference.workers_per_node))
    rows = streamed_rows(inference)
    free = inference.most_busy - rows * row.value
    if free <= 0:
        return None
    fixed = total([inference.microbatch_seconds, inference.seconds_per_call])
    every = fixed.value / free
    takes = total([fixed, row * (rows * every)])
    return _judged(
        inference,
        mode="streaming",
        nodes=nodes,
        every=every,
        age=total([exact(every), takes]),
        rows_per_second=exact(inference.most_busy / nodes).over(row),
        node_hours=exact(24.0 * nodes),
    )


def streamed_rows(inference: Inference) -> float:
    """Return the rows a second that a stream brings at the peak."""
    if inference.rows_ahead and inference.changes_per_second is not None:
        return inference.changes_per_second
    return inference.peak * inference.rows_per_request


def _real_time(inference: Inference, nodes: int) -> InferenceOption | None:
    """Return an endpoint that is always on; its workers share one queue."""
    servers = nodes * inference.workers_per_node
    seconds = total([inference.seconds_per_call, inference.seconds_per_row * inference.rows_per_request])
    load = seconds * inference.peak
    if load.value > inference.most_busy * servers or load.high >= servers:
        return None
    latency = Interval(
        value=_steady_latency(servers, seconds.value, inference.peak),
        low=_steady_latency(servers, seconds.low, inference.peak),
        high=seconds.high + waiting_seconds(servers, load.high, seconds=seconds.high, quantile=QUANTILE),
    )
    return _judged(
        inference,
        mode="real-time",
        nodes=nodes,
        every=0.0,
        age=latency,
        rows_per_second=exact(inference.most_busy * inference.rows_per_request * inference.workers_per_node).over(
            seconds
        ),
        node_hours=exact(24.0 * nodes),
    )


def _steady_latency(servers: int, seconds: float, requests_per_second: float) -> float:
    load = requests_per_second * seconds
    waiting = waiting_seconds(servers, load, seconds=seconds, quantile=QUANTILE)
    return seconds + steady_share(servers, load) * waiting


def _judged(
    inference: Inference,
    *,
    mode: Mode,
    nodes: int,
    every: float,
    age: Interval,
    rows_per_second: Interval,
    node_hours: Interval,
) -> InferenceOption:
    looked_up = inference.rows_ahead is not None and mode != "real-time"
    latency = inference.lookup_seconds if looked_up else age
    price = inference.price_per_hour
    return InferenceOption(
        mode=mode,
        nodes=nodes,
        every_seconds=every,
        latency=latency,
        age=age,
        rows_per_second=rows_per_second,
        node_hours_per_day=node_hours,
        money_per_day=None if price is None else node_hours * price,
        breaks=tuple(_broken(inference, latency, age)),
    )


def _broken(inference: Inference, latency: Interval, age: Interval) -> Iterator[str]:
    for what, found, need in (
        ("an answer takes", latency, inference.latency_seconds),
        ("predictions are as old as", age, inference.freshness_seconds),
    ):
        if need is not None and found.value > need * (1 + 1e-9):
            yield f"{what} {in_seconds(found.value)}, {in_seconds(need)} allowed"
