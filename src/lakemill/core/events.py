"""Progress as data: rooms emit events, a face draws them, a job records them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from lakemill.core.records import record


@record
class Event:
    """Something a watcher would like to see.

    Parameters
    ----------
    kind
        ``start`` and ``end`` frame a stage, ``progress`` moves its bar, ``note`` is one line of text.
    stage
        The task or step that speaks.
    done, failed, total
        Units finished (failures included), units failed, units in all (0 when unknown).
    unit
        What is counted, in the plural: ``products``, ``rows``.
    text
        One line for a person.
    share
        Part of the work that is done, where that isn't ``done / total``: units differ in cost.
    """

    kind: Literal["start", "progress", "note", "end"]
    stage: str = ""
    done: int = 0
    failed: int = 0
    total: int = 0
    unit: str = ""
    text: str = ""
    share: float | None = None


Emit = Callable[[Event], None]


def silent(event: Event) -> None:
    """Drop the event: the default where nobody watches."""
