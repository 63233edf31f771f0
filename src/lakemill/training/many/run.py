"""Run a phase: hand out packs, watch, commit; resume where an earlier process was killed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from lakemill.core.errors import EngineError
from lakemill.core.events import Event
from lakemill.core.records import Resources, record
from lakemill.engines.tasks import Outcome, Task
from lakemill.training.many.commit import Committer
from lakemill.training.many.groups import Manifest, Phase, fit_pack, kept_manifest
from lakemill.training.many.packs import Packs
from lakemill.training.many.staging import Staging
from lakemill.workspace import Workspace

LOST_PACK_ATTEMPTS: Final = 3


@record
class PhaseSummary:
    """What a phase came to.

    Parameters
    ----------
    groups, failed
        Groups done (failures included), also by earlier processes, and failures among them.
    fit_seconds
        Seconds inside the function, summed over groups.
    peak_bytes
        Largest peak of one child process of this one.
    last_failure
        What the last failed group said.
    """

    groups: int = 0
    failed: int = 0
    fit_seconds: float = 0.0
    peak_bytes: int = 0
    last_failure: str = ""


def run_phase(
    workspace: Workspace,
    phase: Phase,
    *,
    staging: Staging,
    packs: Packs,
    tables: Mapping[str, str],
    training: str,
    each: Resources,
    item_seconds: float | None,
) -> PhaseSummary:
    """Run a phase over all packs that are not finished and commit their results.

    Raises
    ------
    EngineError
        If the engine lost a pack more often than can be chance.
    """
    committer = Committer(workspace.catalog, staging, phase, tables=tables, training=training)
    committer.recover()
    finished = staging.finished_packs(phase.name)
    summary = _already(phase, staging, finished)
    left = [pack for pack in packs.numbers if pack not in finished]
    outcomes = _outcomes(workspace, phase, staging=staging, packs=left, each=each, item_seconds=item_seconds)
    for done, outcome in enumerate(outcomes, start=len(packs.numbers) - len(left) + 1):
        summary = _add(summary, outcome.value, peak_bytes=outcome.peak_bytes)
        committer.add(outcome.value.pack)
        share = done / len(packs.numbers)  # packs are of like cost, groups are not
        workspace.emit(_progress(phase, summary, total=packs.groups, share=share))
    committer.flush()
    return summary


def _outcomes(
    workspace: Workspace,
    phase: Phase,
    *,
    staging: Staging,
    packs: Sequence[int],
    each: Resources,
    item_seconds: float | None,
) -> Iterator[Outcome]:
    """Yield one good outcome a pack; a pack that the engine lost is handed out again."""
    left, lost, fit = list(packs), None, partial(fit_pack, phase, str(staging.root))
    for _ in range(LOST_PACK_ATTEMPTS):
        tasks = (Task(key=str(pack), payload=pack) for pack in left)
        left = []
        for outcome in workspace.tasks.map_tasks(fit, tasks, each=each, item_seconds=item_seconds):
            if outcome.failure is None:
                yield outcome
            else:
                lost = outcome.failure
                left.append(int(outcome.key))
        if not left:
            return
    assert lost is not None
    raise EngineError(
        f"packs {left} of phase {phase.name} were lost {LOST_PACK_ATTEMPTS} times: {lost.message}\n{lost.traceback}",
        hint="finished packs are kept; run again to go on",
    )


def _already(phase: Phase, staging: Staging, finished: Iterable[int]) -> PhaseSummary:
    """Return what earlier processes came to."""
    summary = PhaseSummary()
    for pack in finished:
        if (manifest := kept_manifest(staging, phase.name, pack)) is not None:
            summary = _add(summary, manifest)
    return summary


def _add(summary: PhaseSummary, manifest: Manifest, *, peak_bytes: int = 0) -> PhaseSummary:
    return PhaseSummary(
        groups=summary.groups + manifest.groups,
        failed=summary.failed + manifest.failed,
        fit_seconds=summary.fit_seconds + manifest.fit_seconds,
        peak_bytes=max(summary.peak_bytes, peak_bytes),
        last_failure=manifest.last_failure or summary.last_failure,
    )


def _progress(phase: Phase, summary: PhaseSummary, *, total: int, share: float) -> Event:
    return Event(
        kind="progress",
        stage=phase.name,
        done=summary.groups,
        failed=summary.failed,
        total=total,
        unit="groups",
        share=share,
    )
