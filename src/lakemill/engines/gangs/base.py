"""Ranks that start and fail together: what every gang engine does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from lakemill.core.records import Resources


class GangEngine(ABC):
    """One function on N ranks.

    Contract
    --------
    All ranks start, or none does. Each finds the others by the variables that torchrun users know
    (``RANK``, ``LOCAL_RANK``, ``WORLD_SIZE``, ``MASTER_ADDR``, ``MASTER_PORT``). When one rank
    fails, the others are ended, and the whole gang starts again while restarts are left.
    """

    kind: ClassVar[str]

    @abstractmethod
    def run(
        self, fn: Callable[[int], Any], num_ranks: int, *, each: Resources, max_restarts: int = 0
    ) -> tuple[Any, ...]:
        """Run ``fn(rank)`` on every rank and return the values by rank.

        Raises
        ------
        TaskError
            If a rank failed and no restart is left; the message names the first rank to fail.
        """
