"""Which pieces of a work to try beforehand, and what they say of the whole.

The seconds of a piece are a line in its size, `fixed + slope * size`, both at least 0. The next piece to try is the one
that, for each second that it takes, says most about the sum over all pieces.

References
----------
Venkataraman et al. (2016), Ernest, NSDI, sections 3.2 and 3.4: non-negative least squares, optimal design of experiments
under a budget. Pukelsheim (2006), Optimal design of experiments, section 2.6: designs for one linear combination (c-optimal).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from lakemill.core.planning import Interval
from lakemill.core.records import record

RIDGE: Final = 1e-6  # one trial leaves the line free
FEW: Final = 3  # trials below which nothing is known of their scatter
SCATTER: Final = 0.5  # assumed of so few
SIGMAS: Final = 1.645  # 90 % of a normal distribution
DRIFT: Final = 0.2  # by which a machine's pace was found to change between a short look and a long run


@record
class Trial:
    """One piece that was tried."""

    size: float
    seconds: float
    peak_bytes: int


@record
class Extent:
    """All of the work: how many pieces, the sum of their sizes, the largest of them."""

    pieces: int
    size: float
    largest: float

    @property
    def mean(self) -> float:
        """Size of a piece in the mean."""
        return self.size / self.pieces


@record
class Line:
    """Seconds of a piece by its size, and how far pieces lie from it: one standard deviation."""

    fixed: float
    slope: float
    scatter: float

    def at(self, size: float) -> float:
        """Return the seconds of a piece."""
        return self.fixed + self.slope * size


def line_of(trials: Sequence[Trial]) -> Line:
    """Return the line with the least squares among those that never fall and start at 0 or above.

    Examples
    --------
    >>> tried = [Trial(size=size, seconds=1 + 2 * size, peak_bytes=0) for size in (1, 2, 3)]
    >>> line = line_of(tried)
    >>> round(line.fixed, 6), round(line.slope, 6)
    (1.0, 2.0)
    """
    mean = sum(one.seconds for one in trials) / len(trials)
    through_0 = sum(one.size * one.seconds for one in trials) / max(sum(one.size**2 for one in trials), 1e-300)
    lines = [(mean, 0.0), (0.0, through_0), *_least_squares(trials)]
    fixed, slope = min((line for line in lines if min(line) >= 0), key=lambda line: _squares(trials, *line))
    free = len(trials) - 2
    scatter = math.sqrt(_squares(trials, fixed, slope) / free) if len(trials) >= FEW else SCATTER * mean
    return Line(fixed=fixed, slope=slope, scatter=scatter)


def most_telling(left: Iterable[float], tried: Sequence[float], *, extent: Extent, line: Line | None) -> float:
    """Return the size of the piece that lowers the error of the sum most for each second; first one near the mean.

    Parameters
    ----------
    left, tried
        Sizes of the pieces that can be tried and that were.
    line
        What is known so far; None where that is little: half of a mean piece's seconds are then taken to be fixed.

    Examples
    --------
    >>> whole = Extent(pieces=100, size=1000.0, largest=50.0)
    >>> most_telling([1.0, 10.0, 50.0], [10.0, 10.0], extent=whole, line=None)
    10.0
    """
    if not tried:
        return min(left, key=lambda size: abs(size - extent.mean))
    before = _variance(tried, extent)

    def worth(size: float) -> float:
        seconds = line.at(size) if line else extent.mean + size
        return (before - _variance([*tried, size], extent)) / max(seconds, 1e-9)

    return max(left, key=worth)


def mean_seconds(trials: Sequence[Trial], extent: Extent) -> Interval:
    """Return the seconds of a piece in the mean over all, with the error of the line and of the machine's pace."""
    line = line_of(trials)
    value = line.at(extent.mean)
    unsure = (
        _quantile(len(trials) - 2)
        * line.scatter
        * math.sqrt(_variance([one.size for one in trials], extent) + 1 / extent.pieces)
    )
    error = math.hypot(unsure, DRIFT * value)
    return Interval(value=value, low=max(0.0, value - error), high=value + error)


def largest_share(trials: Sequence[Trial], extent: Extent) -> float:
    """Return the share of the work that the largest piece has."""
    line = line_of(trials)
    whole = line.at(extent.mean) * extent.pieces
    return min(1.0, max(1 / extent.pieces, line.at(extent.largest) / whole)) if whole else 1 / extent.pieces


def _quantile(freedom: int) -> float:
    """Return Student's 95 % quantile, by the series of Abramowitz and Stegun (1964), 26.7.5."""
    z, free = SIGMAS, max(1, freedom)
    return z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)


def _least_squares(trials: Sequence[Trial]) -> tuple[tuple[float, float], ...]:
    """Return the free line; none where all sizes are alike."""
    n, sizes = len(trials), [one.size for one in trials]
    mean, mean_seconds = sum(sizes) / n, sum(one.seconds for one in trials) / n
    spread = sum((size - mean) ** 2 for size in sizes)
    if spread <= 1e-12 * n * mean**2:
        return ()
    slope = sum((one.size - mean) * (one.seconds - mean_seconds) for one in trials) / spread
    return ((mean_seconds - slope * mean, slope),)


def _squares(trials: Sequence[Trial], fixed: float, slope: float) -> float:
    return sum((one.seconds - fixed - slope * one.size) ** 2 for one in trials)


def _variance(sizes: Sequence[float], extent: Extent) -> float:
    """Return the variance of the mean piece's seconds, for pieces that lie from the line by a variance of 1."""
    relative = [size / extent.mean for size in sizes]
    n, total, squares = RIDGE + len(relative), sum(relative), RIDGE + sum(size**2 for size in relative)
    return (squares - 2 * total + n) / (n * squares - total**2)  # (1, 1) inverse(X'X) (1, 1)'
