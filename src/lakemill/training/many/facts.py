"""What is known of a training before it runs: from its table's log and keys, and from its last run."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from lakemill.core.errors import LakemillError, SchemaError
from lakemill.core.planning import Interval, LaneCost, Source, total, within
from lakemill.planner import ManyFits
from lakemill.training.many.definition import ManyTraining
from lakemill.training.many.identity import tables_of
from lakemill.training.many.session import DRIVER_STAGES, Session
from lakemill.workspace import Workspace
from lakemill.workspace.hardware import Hardware
from lakemill.workspace.history import History, Past, Prediction
from lakemill.workspace.planning import Planned, cost_of, facts_of, here, place, predicted

KIND: Final = ManyFits.__name__
# Where nothing was ever measured: a mean fit of 5 to 500 ms.
ASSUMED_FIT: Final = Interval(value=0.05, low=0.005, high=0.5)
ASSUMED_BYTES: Final = Interval(value=2**26, low=0, high=2**29)
# Beside its fit: the group's rows, its results, its line in the spool.
GROUP_SECONDS: Final = Interval(value=0.0003, low=0.0002, high=0.0006)
# Tables opened and written, and the version registered.
TABLES_SECONDS: Final = Interval(value=5.0, low=2.0, high=9.0)
ROW_SECONDS: Final = Interval(value=1e-6, low=3e-7, high=3e-6)
BYTES_ERROR: Final = 0.15
HISTORY_ERROR: Final = 0.3  # the same training took 72 and 88 s on one quiet virtual machine


@facts_of.register
def _(target: ManyTraining, workspace: Workspace) -> ManyFits:
    ref = tables_of(workspace, target)[0]
    size = workspace.catalog.size(ref)
    if not size.rows:
        raise SchemaError(f"table {ref.name} is empty: nothing to plan", hint="run the step that fills it first")
    groups = workspace.catalog.groups(ref, target.keys)
    last, hardware = last_run(workspace, target), here(workspace)
    sources: dict[str, Source] = {
        "rows": "metadata",
        "bytes": "metadata",
        "fits": "metadata",
        "largest_share": "metadata",
    }
    told: Source = "assumed" if last is None else "history"
    sources |= dict.fromkeys(("seconds_per_fit", "peak_bytes_per_fit", "serial_seconds"), told)
    return ManyFits(
        rows=size.rows,
        bytes=size.memory_bytes,
        fits=groups.groups,
        seconds_per_fit=_seconds_per_fit(last, hardware, rows=size.rows, fits=groups.groups),
        peak_bytes_per_fit=_bytes_per_fit(last, hardware),
        serial_seconds=_serial_seconds(last, rows=size.rows),
        largest_share=groups.largest_rows / size.rows,
        busy_cores=target.resources.cpus,
        allowed_bytes=target.resources.memory_bytes,
        busy_accelerators=target.resources.gpus,
        sources=tuple(sorted(sources.items())),
    )


def placed(session: Session) -> Planned | None:
    """Let a training run where its plan says, if that is left to the plan; a plan that can't be made stops nothing."""
    with suppress(LakemillError):
        return place(session.workspace, session.definition)
    return None


def expected(session: Session) -> Prediction | None:
    """Return what is predicted of a training where it is about to run; None where nobody knows.

    A plan that can't be made stops no training.
    """
    workspace, definition = session.workspace, session.definition
    if session.subset is not None or session.begun_before:
        return None
    with suppress(LakemillError):
        return predicted(workspace, definition, workers=workspace.tasks.slots(definition.resources))
    return None


def remember(session: Session, *, seconds: float, expected: Prediction | None) -> Past | None:
    """Write down what a training took, if it was a whole one."""
    if session.subset is not None or session.begun_before:
        return None
    workspace, definition = session.workspace, session.definition
    return History(workspace.database).add(
        work=work_of(definition),
        kind=KIND,
        lane=workspace.placed.kind,
        workers=workspace.tasks.slots(definition.resources),
        items=session.packs.groups,
        rows=workspace.catalog.size(session.refs[0]).rows,
        seconds=seconds,
        item_seconds=session.metrics["fit_seconds"] + session.other_seconds,
        peak_bytes=int(session.metrics["fit_peak_bytes"]),
        predicted=expected,
        stages=session.stages,
        money=cost_of(workspace, workspace.placed, seconds=seconds),
    )


def last_run(workspace: Workspace, target: ManyTraining) -> Past | None:
    """Return what this training took the last time, None if it never ran."""
    return History(workspace.database).last(work_of(target))


def work_of(target: ManyTraining) -> str:
    """Return the name under which a training's runs are remembered."""
    return target.registered_model


def _seconds_per_fit(last: Past | None, hardware: Hardware, *, rows: int, fits: int) -> Interval:
    """Return the seconds of a group in a worker by itself: those of the last run, in proportion to its rows."""
    if last is None:
        return total([ASSUMED_FIT, GROUP_SECONDS])
    growth = (rows / fits) / (last.rows / last.items)
    slowed = 1 + hardware.node.slowdown_per_busy_core * (last.workers - 1)
    return total([within(last.item_seconds / last.items * growth / slowed, HISTORY_ERROR), GROUP_SECONDS])


def _bytes_per_fit(last: Past | None, hardware: Hardware) -> Interval:
    """Return what a fit adds to its process: the peak of the last run without what every worker holds."""
    if last is None:
        return ASSUMED_BYTES
    lane = _lane_of(last, hardware)
    return within(max(0.0, last.peak_bytes - (lane.worker_bytes.value if lane else 0.0)), HISTORY_ERROR)


def _serial_seconds(last: Past | None, *, rows: int) -> Interval:
    """Return the seconds beside the groups: those of the last run outside its start and what its workers shared."""
    if last is None:
        return total([TABLES_SECONDS, ROW_SECONDS * rows])
    other = sum(seconds for stage, seconds in last.stages.items() if stage not in DRIVER_STAGES)
    return within(last.seconds - other, HISTORY_ERROR)


def _lane_of(last: Past, hardware: Hardware) -> LaneCost | None:
    """Return what the lane of a run was measured to cost, None if it was not measured."""
    return hardware.lane(last.lane, "tasks")
