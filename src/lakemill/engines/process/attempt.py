"""What a function in a child process is told of its own history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from lakemill.core.records import record
from lakemill.engines.process.hand import short

LossKind = Literal["timeout", "memory", "killed"]

KILLS_BEFORE_VERDICT = 2


@record
class Loss:
    """The end of a child process, and the item it had in hand (empty: none was named)."""

    kind: LossKind
    item: str
    message: str


@record
class Failure:
    """Why an item or a task has no result.

    Parameters
    ----------
    kind
        ``exception``: the function raised; ``timeout``, ``memory``, ``killed``: its process was
        ended; ``lost``: the engine lost the task with its machine.
    """

    kind: Literal["exception", "timeout", "memory", "killed", "lost"]
    message: str
    traceback: str = ""


class Attempt:
    """One attempt at a task, as its function sees it.

    Parameters
    ----------
    losses
        How earlier attempts at the same task ended.
    announce
        Called with the name of each item as work on it begins.
    """

    def __init__(self, losses: tuple[Loss, ...], announce: Callable[[str], None]) -> None:
        self.losses = losses
        self._announce = announce

    def at(self, item: str) -> None:
        """Say which item is in hand from now on, and restart its clock."""
        self._announce(short(item))

    def verdict(self, item: str) -> Failure | None:
        """Return why an item must not be tried again, or None if it may.

        A timeout or a breach of the memory limit is the item's own doing and is final. A kill may
        have been meant for a neighbour, so the item gets a second chance.
        """
        losses = [loss for loss in self.losses if loss.item == short(item)]
        own = [loss for loss in losses if loss.kind != "killed"]
        if own:
            return Failure(kind=own[0].kind, message=own[0].message)
        if len(losses) >= KILLS_BEFORE_VERDICT:
            return Failure(kind="killed", message=f"{losses[-1].message}, {len(losses)} times")
        return None
