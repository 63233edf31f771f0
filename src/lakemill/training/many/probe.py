"""Fits of a few groups, tried beforehand: how long, and how much memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property, partial
from math import ceil
from typing import Final

import pyarrow as pa

from lakemill import features
from lakemill.catalog.schemas import quoted
from lakemill.core.errors import TaskError, UnsupportedError
from lakemill.core.planning import Interval, total
from lakemill.core.records import ClusterSpec
from lakemill.engines.process import Attempt
from lakemill.engines.tasks import TASK_ENGINES, Outcome, Task
from lakemill.planner import ManyFits
from lakemill.planner.probe import Extent, Trial, largest_share, mean_seconds
from lakemill.training.many.definition import ManyTraining
from lakemill.training.many.facts import BYTES_ERROR, GROUP_SECONDS
from lakemill.training.many.functions import ROWS, fit_phase
from lakemill.training.many.groups import Group, GroupRows, runs_of
from lakemill.training.many.packs import in_order
from lakemill.workspace import Workspace
from lakemill.workspace.planning import facts_of, here
from lakemill.workspace.probing import probe_of

HERE: Final = ClusterSpec()  # this machine's processes
CANDIDATES: Final = 33  # groups, from the smallest to the largest, that can be tried


class FitProbe:
    """Groups of a training, fitted one after the other in a process of their own; nothing is kept of them.

    Parameters
    ----------
    workspace
        Where the tables are.
    definition
        Its `fit` is a function.
    """

    def __init__(self, workspace: Workspace, definition: ManyTraining) -> None:
        self._workspace = workspace
        self._definition = definition
        known = facts_of(definition, workspace)
        assert isinstance(known, ManyFits)
        self._known = known

    @property
    def extent(self) -> Extent:
        """See `Probe.extent`; a group's size is its rows."""
        known = self._known
        largest = (known.largest_share or 1 / known.fits) * known.rows
        return Extent(pieces=known.fits, size=known.rows, largest=largest)

    @cached_property
    def sizes(self) -> tuple[float, ...]:
        """See `Probe.sizes`."""
        return tuple(float(len(rows)) for rows in self._groups)

    def seconds(self, trials: Sequence[Trial]) -> float:
        """See `Probe.seconds`; on all cores of this machine."""
        mean, known = mean_seconds(trials, self.extent).value + GROUP_SECONDS.value, self._known
        slots = max(1, int(here(self._workspace).node.cores / known.busy_cores))
        return mean * known.fits / min(slots, known.fits) + known.serial_seconds.value

    def trials(self, choose: Callable[[Sequence[float]], float | None]) -> Iterator[Trial]:
        """See `Probe.trials`; a group whose fit fails says nothing.

        Raises
        ------
        TaskError
            If every fit failed.
        """
        left, tried = list(self._groups), list[pa.Table]()

        def tasks() -> Iterator[Task]:
            while (size := choose([float(len(rows)) for rows in left])) is not None:
                tried.append(left.pop([len(rows) for rows in left].index(int(size))))
                yield Task(key=str(len(tried)), payload=(tried[-1], len(tried) == 1))

        failure, fitted = None, 0
        for outcome in self._outcomes(tasks()):
            failure = outcome.failure or failure
            if outcome.failure is None:
                fitted += 1
                yield Trial(size=len(tried[-1]), seconds=outcome.value, peak_bytes=outcome.peak_bytes)
        if failure is not None and not fitted:
            raise TaskError(f"every fit that was tried failed: {failure.message}\n{failure.traceback}".strip())

    def facts(self, trials: Sequence[Trial]) -> ManyFits:
        """See `Probe.facts`."""
        told = dict(self._known.sources) | dict.fromkeys(
            ("seconds_per_fit", "peak_bytes_per_fit", "largest_share"), "probe"
        )
        return replace(
            self._known,
            seconds_per_fit=total([mean_seconds(trials, self.extent), GROUP_SECONDS]),
            peak_bytes_per_fit=self._peak_bytes(trials),
            largest_share=largest_share(trials, self.extent),
            sources=tuple(sorted(told.items())),
        )

    def _peak_bytes(self, trials: Sequence[Trial]) -> Interval:
        """Return what the largest fit adds to its process; at most in proportion to its rows."""
        lanes = here(self._workspace).lanes
        worker = next((lane.worker_bytes.value for lane in lanes if lane.kind == HERE.kind), 0.0)
        own = max(0.0, max(one.peak_bytes for one in trials) - worker)
        growth = max(1.0, self.extent.largest / max(one.size for one in trials))
        return Interval(value=own, low=own * (1 - BYTES_ERROR), high=own * growth * (1 + BYTES_ERROR))

    def _outcomes(self, tasks: Iterator[Task]) -> Iterator[Outcome]:
        definition = self._definition
        spec = replace(HERE, num_workers=ceil(definition.resources.cpus))
        with closing(TASK_ENGINES.build({"kind": spec.kind, "spec": spec})) as engine:
            yield from engine.map_tasks(
                partial(timed, definition),
                tasks,
                each=definition.resources,
                item_seconds=definition.item_seconds,
                max_in_flight=1,
            )

    @cached_property
    def _groups(self) -> tuple[pa.Table, ...]:
        """Rows of some groups, in the order in which a fit gets them, from the smallest group to the largest."""
        definition, sql = self._definition, self._workspace.sql
        keys = ", ".join(map(quoted, definition.keys))
        rows = features.load(self._workspace, definition.training_set)
        counts = sql(f"select {keys}, count(*) as lakemill_rows from s group by {keys}", s=rows)
        ranked = sql(f"select {keys}, row_number() over (order by lakemill_rows, {keys}) as r from c", c=counts)
        chosen = sql(f"select {keys} from d where r in ({', '.join(map(str, self._ranks()))})", d=ranked)
        found = sql(f"select s.* from s semi join d using ({keys})", s=rows, d=chosen)
        table = in_order(self._workspace.frames.to_arrow(found).read_all(), [*definition.keys, definition.time])
        return tuple(table.slice(*run) for _, run in runs_of(table, definition.keys))

    def _ranks(self) -> list[int]:
        """Return ranks of groups by their rows, evenly spread, the largest among them."""
        number = min(CANDIDATES, self._known.fits)
        return sorted({1 + round(k * (self._known.fits - 1) / max(1, number - 1)) for k in range(number)})


def timed(definition: ManyTraining, payload: tuple[pa.Table, bool], attempt: Attempt) -> float:
    """Return the seconds of one fit in this process; the first is done twice, for what comes with a new process."""
    rows, is_first = payload
    attempt.at("a group that is tried")
    group, phase = Group((), {ROWS: GroupRows(rows)}), fit_phase(definition)
    if is_first:
        phase.fn(group)
    started = time.perf_counter()
    phase.fn(group)
    return time.perf_counter() - started


@probe_of.register
def _(target: ManyTraining, workspace: Workspace) -> FitProbe:
    if not callable(target.fit):
        raise UnsupportedError(
            f"a few groups say little of {type(target.fit).__name__}, which learns from all groups together",
            hint="leave out --probe; after its first run the plan has its history",
        )
    return FitProbe(workspace, target)
