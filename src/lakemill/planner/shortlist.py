"""The few of all candidates that a person wants to see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from lakemill.core.planning import Candidate, Plan


def shortlist(made: Plan, *, most: int) -> tuple[Candidate, ...]:
    """Return the choice, then others, the best for the aim first: of each place, with one worker, of each design."""
    allowed_first = sorted(made.candidates, key=lambda one: bool(one.breaks))
    alone = (one for one in made.candidates if one.workers == 1)
    wanted = dict.fromkeys(
        [
            *(one for one in made.candidates if one is made.choice),
            *_first(allowed_first, by=lambda one: (one.lane, one.cluster, one.nodes > 1)),
            *_first(alone, by=lambda one: (one.lane, one.cluster)),
            *_first(made.candidates, by=lambda one: one.design),
        ]
    )
    few = set(list(wanted)[:most])
    return tuple(sorted((one for one in made.candidates if one in few), key=lambda one: one is not made.choice))


def _first(found: Iterable[Candidate], *, by: Callable[[Candidate], object]) -> Iterator[Candidate]:
    best: dict[object, Candidate] = {}
    for one in found:
        best.setdefault(by(one), one)
    yield from best.values()
