"""Some pieces of a work tried before it is run, so that nobody need guess what they take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import singledispatch
from typing import Any, Final, Protocol

from lakemill.core.errors import UnsupportedError
from lakemill.core.planning import Facts
from lakemill.core.records import record
from lakemill.planner.probe import FEW, Extent, Trial, line_of, most_telling
from lakemill.workspace.workspace import Workspace

MOST: Final = 0.05  # of the seconds that the work is then predicted to take


class Probe(Protocol):
    """Pieces of some work, as the room that knows it can try them."""

    @property
    def extent(self) -> Extent:
        """All of the work."""

    @property
    def sizes(self) -> Sequence[float]:
        """Sizes of the pieces that can be tried, spread over all that there are."""

    def seconds(self, trials: Sequence[Trial]) -> float:
        """Return what all of the work takes, by these trials."""

    def trials(self, choose: Callable[[Sequence[float]], float | None]) -> Iterator[Trial]:
        """Try one piece after the other: `choose` takes the sizes that are left and returns one, None to end."""

    def facts(self, trials: Sequence[Trial]) -> Facts:
        """Return the facts about the work that rest on these trials."""


@record
class Probed:
    """What was tried, and what it took of the work itself."""

    pieces: int
    seconds: float
    share: float


@singledispatch
def probe_of(target: Any, workspace: Workspace) -> Probe:
    """Return how the work of a declaration can be tried.

    Rooms register their declarations (``@probe_of.register``).

    Raises
    ------
    UnsupportedError
        If nobody knows how.
    """
    del workspace
    raise UnsupportedError(
        f"the work of {getattr(target, '__qualname__', type(target).__name__)} can't be tried in part",
        hint="leave out --probe; after its first run the plan has its history",
    )


def can_be_probed(target: Any) -> bool:
    """Return whether a room has said how the work of such a declaration can be tried."""
    return probe_of.dispatch(type(target)) is not probe_of.dispatch(object)


def run_probe(probe: Probe, *, share: float = MOST) -> tuple[Facts, Probed]:
    """Try pieces until they have taken a share of the seconds of all the work, or none is left; three at least.

    Raises
    ------
    UnsupportedError
        If there are so few pieces that one alone would take more.
    TaskError
        If no piece could be tried.
    """
    if probe.extent.pieces * share < FEW:
        raise UnsupportedError(
            f"too few pieces to try {FEW}: they would be more than {share:.0%} of all {probe.extent.pieces}",
            hint="run it: the plan then has its history",
        )
    started, done = time.perf_counter(), list[Trial]()

    def spent() -> float:
        return time.perf_counter() - started

    def choose(left: Sequence[float]) -> float | None:
        known, tried = line_of(done) if len(done) >= FEW else None, [one.size for one in done]
        room = share * probe.seconds(done) - spent() if known else math.inf
        if not left or (known and known.at(min(left)) > room):
            return None
        if known and max(left) > max(tried) and known.at(max(left)) <= room:
            return max(left)  # for its memory
        return most_telling(left, tried, extent=probe.extent, line=known)

    for trial in probe.trials(choose):
        done.append(trial)
    taken = spent()
    return probe.facts(done), Probed(pieces=len(done), seconds=taken, share=taken / probe.seconds(done))
