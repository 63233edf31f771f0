"""What is known of a training set before it is joined: from its tables' logs and keys, and from its last run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import accumulate
from typing import Final

import psutil

from lakemill.core.errors import LakemillError
from lakemill.core.planning import NOTHING, Cluster, Interval, LaneCost, Limits, Source, exact, within
from lakemill.core.records import content_hash
from lakemill.features.records import TrainingSet
from lakemill.planner import FeaturePipeline, weigh
from lakemill.workspace import Workspace
from lakemill.workspace.hardware import Hardware
from lakemill.workspace.history import History, Past, Prediction
from lakemill.workspace.planning import cost_of, facts_of, here, predicted

KIND: Final = FeaturePipeline.__name__
START, JOIN = "start", "join and write"  # stages of a run
# Where nothing was ever measured: seconds of a core for each row that is read, and bytes held for each byte.
ASSUMED_ROW_SECONDS: Final = Interval(value=7e-7, low=1e-7, high=4e-6)
ASSUMED_HELD: Final = Interval(value=3.0, low=0.5, high=6.0)
HISTORY_ERROR: Final = 0.3  # as for trainings: the same work on one quiet virtual machine
LEAST_WORK: Final = 0.1  # share of a run that is work, however much else the machine's figures explain


@facts_of.register
def _(target: TrainingSet, workspace: Workspace) -> FeaturePipeline:
    facts = _from_metadata(target, workspace)
    last, hardware = last_run(workspace, target), here(workspace)
    lane = hardware.lane(last.lane, "frames") if last else None
    if last is None or lane is None:
        return facts
    growth = facts.rows / last.rows
    return replace(
        facts,
        core_seconds=_work(facts, last, lane, hardware) * growth,
        peak_bytes=_held(facts, last, lane),
        sources=_sources("history"),
    )


def expected(workspace: Workspace, training_set: TrainingSet) -> Prediction | None:
    """Return what is predicted of a training set where it is about to be joined; None where nobody knows.

    A plan that can't be made stops no join.
    """
    with suppress(LakemillError):
        return predicted(workspace, training_set, workers=workers_of(workspace), started=workspace.frames.running)
    return None


def remember(
    workspace: Workspace,
    training_set: TrainingSet,
    *,
    stages: dict[str, float],
    peak_bytes: int,
    expected: Prediction | None,
) -> Past:
    """Write down what joining and writing a training set took."""
    engine, seconds = workspace.settings.frames, sum(stages.values())
    return History(workspace.database).add(
        work=work_of(training_set),
        kind=KIND,
        lane=engine.kind,
        workers=workers_of(workspace),
        items=len(training_set.lookups),
        rows=_from_metadata(training_set, workspace).rows,
        seconds=seconds,
        item_seconds=stages[JOIN],
        peak_bytes=peak_bytes,
        predicted=expected,
        stages=stages,
        money=cost_of(workspace, engine, seconds=seconds),
    )


def last_run(workspace: Workspace, training_set: TrainingSet) -> Past | None:
    """Return what this training set took the last time it was written, None if it never was."""
    return History(workspace.database).last(work_of(training_set))


def work_of(training_set: TrainingSet) -> str:
    """Return the name under which a training set's runs are remembered: another definition, another name.

    Examples
    --------
    >>> work_of(TrainingSet(spine="main.a.b"))[:23]
    'main.a.b + 0 look-ups ('
    """
    return f"{training_set.spine} + {len(training_set.lookups)} look-ups ({content_hash(training_set)[:6]})"


def workers_of(workspace: Workspace) -> int:
    """Return how many cores the workspace's frame engine uses on this machine."""
    engine, cores = workspace.settings.frames, len(psutil.Process().cpu_affinity())
    processes = max(1, engine.num_workers)
    return processes * (engine.cpus_per_worker or max(1, cores // processes))


def _from_metadata(training_set: TrainingSet, workspace: Workspace) -> FeaturePipeline:
    catalog = workspace.catalog
    names = [training_set.spine, *(lookup.table_name for lookup in training_set.lookups)]
    sizes = [catalog.size(catalog.ref(name)) for name in names]
    rows, read = sum(size.rows for size in sizes), sum(size.memory_bytes for size in sizes)
    joined = list(accumulate(size.memory_bytes for size in sizes))  # each look-up moves all that came before it
    return FeaturePipeline(
        rows=rows,
        bytes=read,
        core_seconds=ASSUMED_ROW_SECONDS * rows,
        peak_bytes=ASSUMED_HELD * read,
        shuffled_bytes=sum(joined[1:]),
        joins=max(1, len(training_set.lookups)),
        largest_share=max(_largest_shares(training_set, workspace), default=0.0),
        sources=_sources("assumed"),
    )


def _largest_shares(training_set: TrainingSet, workspace: Workspace) -> Iterator[float]:
    """Return for each look-up as of a time the share of the rows of both sides that may have one key."""
    catalog, spine = workspace.catalog, workspace.catalog.ref(training_set.spine)
    for lookup in training_set.lookups:
        info, ref = catalog.info(lookup.table_name), catalog.ref(lookup.table_name)
        own = [key for key in info.primary_keys if key != info.timeseries_column]
        if lookup.timestamp_lookup_key and set(lookup.keys) <= set(spine.column_names):
            largest = catalog.groups(spine, lookup.keys).largest_rows + catalog.groups(ref, own).largest_rows
            yield largest / max(1, catalog.size(spine).rows + catalog.size(ref).rows)


def _sources(measured: Source) -> tuple[tuple[str, Source], ...]:
    known: dict[str, Source] = dict.fromkeys(("bytes", "joins", "largest_share", "rows", "shuffled_bytes"), "metadata")
    return tuple(sorted({**known, "core_seconds": measured, "peak_bytes": measured}.items()))


def _work(facts: FeaturePipeline, last: Past, lane: LaneCost, hardware: Hardware) -> Interval:
    """Return the core-seconds with which the cost model gives what the last run took, its start aside.

    Where most of a short run was not work, little is known of the work.
    """

    def seconds(core_seconds: float) -> Interval:
        run = replace(past, core_seconds=exact(core_seconds))
        found = weigh(run, lanes=[lane], clusters=[Cluster(node=hardware.node)], limits=Limits())
        return min(found, key=lambda one: abs(one.workers - last.workers)).seconds

    shrunk, started = last.rows / facts.rows, last.stages.get(START, 0.0)
    past = replace(facts, rows=last.rows, bytes=round(facts.bytes * shrunk), peak_bytes=NOTHING)
    cold = max(0.0, lane.start_seconds.value - started) if started else 0.0
    lane = replace(lane, start_seconds=exact(cold))  # what of the start is in the join: the first is slower
    beside, a_core_second = seconds(0), seconds(1).value - seconds(0).value

    def work(of: float, other: float) -> float:
        return max(LEAST_WORK * of, of - other) / a_core_second

    taken = within(last.item_seconds, HISTORY_ERROR)
    low, high = work(taken.low, beside.high), work(taken.high, beside.low)
    return Interval(value=work(taken.value, beside.value), low=low, high=high)


def _held(facts: FeaturePipeline, last: Past, lane: LaneCost) -> Interval:
    """Return the working memory: the peak of the last run without the engine's own, of which the data's part grows.

    An engine that spans nodes has a heap of fixed size, which says nothing of what the work needs.
    """
    if lane.spans_nodes:
        return facts.peak_bytes
    growth, engine = facts.rows / last.rows, lane.driver_bytes

    def held(own: float, share: float) -> float:
        most = max(0.0, last.peak_bytes - own)
        return most + min(most, share * facts.bytes / growth) * (growth - 1)

    of_data = ASSUMED_HELD
    low, value, high = (
        held(engine.high, of_data.low),
        held(engine.value, of_data.value),
        held(engine.low, of_data.high),
    )
    return Interval(value=value, low=low * (1 - HISTORY_ERROR), high=high * (1 + HISTORY_ERROR))
