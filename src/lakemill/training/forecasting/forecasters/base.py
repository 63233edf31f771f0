"""What every forecaster of single series does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

import numpy as np

Vector = np.ndarray[Any, np.dtype[np.float64]]

SMOOTH, ERRATIC, INTERMITTENT, LUMPY = "smooth", "erratic", "intermittent", "lumpy"
EVERY_CLASS = frozenset({SMOOTH, ERRATIC, INTERMITTENT, LUMPY})


class Fitted(Protocol):
    """A fitted forecaster; pickles, and keeps no more than the forecast needs."""

    def forecast(self, horizon: int) -> Vector:
        """Return the expected values of the next steps, shape ``(horizon,)``."""


class Forecaster(ABC):
    """A method that forecasts one series from its own past.

    Contract
    --------
    `fit` is deterministic: the same series gives the same forecasts, to the last bit, in any
    process. It raises on a series that it cannot use. The file's name is the forecaster's name.
    """

    kind: ClassVar[str]
    classes: ClassVar[frozenset[str]] = EVERY_CLASS
    """Demand classes for which the method is worth its time."""
    min_observations: ClassVar[int] = 1
    """Shortest series that it takes."""

    @abstractmethod
    def fit(self, y: Vector, season: int) -> Fitted:
        """Fit to a series of shape ``(n,)`` whose season has that many steps."""
