"""Plans against facts: many-model trainings and training sets, predicted from an eighth, then done in every lane.

``python -m benchmarks.planner [--lanes local,ray,spark] [--quick]``. The machine is measured first. A few small jobs that are
not judged are done in every lane, so that corrections have something to rest on. Of each training with fits enough,
some are tried. Each judged job learns from an eighth of other data on all cores, is planned, and is done in every lane, in a
process of its own, engine's start included; what is judged is kept where no plan sees it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import _fits, _joins
from benchmarks._fits import Fits
from benchmarks._plans import Bench, Job, Lane, Measured, figures
from benchmarks._run import figure, machine, report
from lakemill.engines.frames import FRAME_ENGINES
from lakemill.engines.tasks import TASK_ENGINES
from lakemill.planner import ManyFits
from lakemill.workspace.hardware import measure
from lakemill.workspace.planning import Planned

WORTH_TRYING: Final = 5_000_000  # rounds from which on some fits are tried: about five seconds of two cores


def lanes_of(kinds: Sequence[str], cores: int) -> dict[str, tuple[Lane, ...]]:
    """Return for each role one local worker, and every engine on all cores."""
    slots = {"tasks": TASK_ENGINES.kinds(), "frames": FRAME_ENGINES.kinds()}
    return {
        role: (Lane("local", 1), *(Lane(kind, cores) for kind in kinds if kind in known))
        for role, known in slots.items()
    }


def run(bench: Bench, taught: Sequence[Job], judged: Sequence[Job]) -> Iterator[dict[str, Any]]:
    """Teach and try, then plan and do what is judged; return the figures."""
    for job in taught:
        print(f"teaching with {job}", flush=True)
        bench.teach(job)
    tried: dict[Job, Planned] = {
        job: bench.probed(job) for job in judged if isinstance(job, Fits) and job.fits * job.rounds >= WORTH_TRYING
    }
    found: list[Measured] = []
    for job in judged:
        for one in bench.judged(job):
            found.append(one)
            print(one.told, flush=True)
    yield from figures(found, bench)
    yield from tries(tried, found, bench.home)


def tries(tried: Mapping[Job, Planned], found: Sequence[Measured], home: Lane) -> Iterator[dict[str, Any]]:
    """Return what tries took of the jobs, and how right they were."""
    if not tried:
        return
    pasts = {one.job: one.past for one in found if one.lane == home and one.job in tried}
    spent = sum(made.probed.seconds for made in tried.values() if made.probed)
    share = spent / sum(past.seconds for past in pasts.values())
    yield figure("tries to the jobs that they were of", share, "ratio", goal=0.05, n=len(tried))
    errors = []
    for job, made in tried.items():
        assert isinstance(made.facts, ManyFits)
        errors.append(abs(made.facts.seconds_per_fit.value / (pasts[job].item_seconds / pasts[job].items) - 1))
    yield figure("median error of seconds of a fit, from tries", float(np.median(errors)), "share", n=len(tried))


def main() -> None:
    """Run all jobs and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lanes", default=",".join(TASK_ENGINES.kinds()), help="kinds of engine, by default all")
    parser.add_argument("--quick", action="store_true", help="two jobs of each kind: does it run at all")
    given = parser.parse_args()
    facts, hardware, most = machine(), measure(print), 2 if given.quick else None
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), hardware, lanes_of(given.lanes.split(","), hardware.node.cores))
        taught: list[Job] = [*_fits.TAUGHT[:most], *_joins.TAUGHT[:most]]
        judged: list[Job] = [*_fits.JUDGED[:most], *_joins.JUDGED[:most]]
        report("planner", facts, list(run(bench, taught, judged)))


if __name__ == "__main__":
    main()
