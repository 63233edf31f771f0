"""The few of all candidates that a person wants to see."""

from __future__ import annotations

from lakemill.core.planning import Candidate, Plan


def shortlist(made: Plan, *, most: int) -> tuple[Candidate, ...]:
    """Return the choice, then the best of each design and one worker of each lane, the best for the aim first."""
    best: dict[tuple[object, ...], Candidate] = {}
    for one in made.candidates:
        best.setdefault(one.design, one)
        if one.workers == 1:
            best.setdefault((one.lane, one.cluster), one)
    first = [] if made.choice is None else [made.choice]
    return tuple(dict.fromkeys([*first, *best.values()]))[:most]
