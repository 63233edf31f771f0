"""Which pieces are tried, and what they say, against least squares and simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls

from lakemill.planner.probe import Extent, Trial, largest_share, line_of, mean_seconds, most_telling

WHOLE = Extent(pieces=200, size=2000.0, largest=80.0)


def trials(sizes, seconds) -> list[Trial]:
    return [Trial(size=float(x), seconds=float(y), peak_bytes=0) for x, y in zip(sizes, seconds, strict=True)]


@given(st.lists(st.tuples(st.floats(1, 100), st.floats(0.001, 100)), min_size=1, max_size=12))
def test_the_line_is_that_of_non_negative_least_squares(points):
    sizes, seconds = np.array(points).T
    matrix = np.column_stack([np.ones_like(sizes), sizes])
    line = line_of(trials(sizes, seconds))
    ours = np.linalg.norm(matrix @ [line.fixed, line.slope] - seconds)
    assert min(line.fixed, line.slope) >= 0
    assert ours <= nnls(matrix, seconds)[1] * (1 + 1e-6) + 1e-9


def test_the_first_is_near_the_mean_and_where_all_cost_the_same_the_widest_says_most():
    assert most_telling([1.0, 9.0, 80.0], [], extent=WHOLE, line=None) == 9.0
    flat = line_of(trials([1, 10, 80], [5, 5, 5]))
    assert most_telling([2.0, 40.0], [10.0, 10.0, 1.0], extent=WHOLE, line=flat) == 40.0


def test_the_choice_is_the_best_by_brute_force():
    """The variance of the predicted mean, from the inverse information matrix of numpy."""
    generator = np.random.default_rng(0)
    line = line_of(trials([1, 10, 80], [1.5, 6, 41]))

    def variance(sizes) -> float:
        matrix = np.column_stack([np.ones(len(sizes)), np.array(sizes) / WHOLE.mean])
        return float(np.ones(2) @ np.linalg.inv(matrix.T @ matrix + 1e-6 * np.eye(2)) @ np.ones(2))

    for _ in range(50):
        tried, left = (generator.uniform(1, 80, 4).tolist() for _ in range(2))
        gains = [(variance(tried) - variance([*tried, size])) / line.at(size) for size in left]
        assert most_telling(left, tried, extent=WHOLE, line=line) == left[int(np.argmax(gains))]


@pytest.mark.parametrize(("noise", "number"), list(itertools.product([0.1, 0.4], [4, 10])))
def test_the_mean_lies_in_its_interval(noise, number):
    generator = np.random.default_rng(number)
    sizes = generator.lognormal(2, 0.8, WHOLE.pieces)
    whole = Extent(pieces=len(sizes), size=float(sizes.sum()), largest=float(sizes.max()))

    def inside() -> bool:
        seconds = (0.5 + 0.2 * sizes) * generator.lognormal(0, noise, len(sizes))
        tried = generator.choice(len(sizes), number, replace=False)
        found = mean_seconds(trials(sizes[tried], seconds[tried]), whole)
        return bool(found.low <= seconds.mean() <= found.high)

    assert np.mean([inside() for _ in range(300)]) > 0.85


def test_the_largest_has_its_share_of_the_seconds_and_not_of_the_rows():
    fixed = trials([1, 10, 80], [5, 5, 5])
    assert largest_share(fixed, WHOLE) == pytest.approx(1 / 200)
    assert largest_share(trials([1, 10, 80], [1, 10, 80]), WHOLE) == pytest.approx(80 / 2000)
