"""The audit of aliases: every move is a tag of the registered model, written before the move.

A kill between the two leaves a move that is noted and not made, never one that is made and not noted.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime

from lakemill.core.records import to_json
from lakemill.registry.records import AliasMove

PREFIX = "lakemill.alias"


def tag_of(move: AliasMove) -> tuple[str, str]:
    """Return name and value of the tag that keeps a move; names are unique and sort by time."""
    name = f"{PREFIX}.{move.alias}.{move.at:%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:8]}"
    return name, to_json(move)


def moves_in(tags: Mapping[str, str], alias: str) -> tuple[AliasMove, ...]:
    """Return the moves of an alias among the tags of a registered model, newest first."""
    found = {name: text for name, text in tags.items() if name.startswith(f"{PREFIX}.{alias}.")}
    return tuple(_move(found[name]) for name in sorted(found, reverse=True))


def before(moves: Sequence[AliasMove], version: int) -> int | None:
    """Return the version that a version took an alias from; a rollback takes it from nobody.

    Examples
    --------
    >>> from lakemill.core.records import utc_now
    >>> def move(before, after, back=False):
    ...     return AliasMove(alias="a", before=before, after=after, by="ann", at=utc_now(), reason="", back=back)
    >>> moves = [move(3, 2, back=True), move(2, 3), move(1, 2), move(None, 1)]
    >>> before(moves, 2)
    1
    """
    return next((move.before for move in moves if move.after == version and not move.back), None)


def settled(moves: Sequence[AliasMove], version: int, *, current: int | None) -> bool:
    """Return whether an alias has been moved to a version before, and not only meant to be."""
    if not any(move.after == version for move in moves):
        return False
    return current == version or moves[0].after != version


def _move(text: str) -> AliasMove:
    fields = json.loads(text)
    return AliasMove(**{**fields, "at": datetime.fromisoformat(fields["at"])})
