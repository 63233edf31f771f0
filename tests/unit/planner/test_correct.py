"""What past predictions teach the next one, against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from lakemill.core.planning import Interval, within
from lakemill.planner.correct import corrected, correction

STATED = within(10.0, 0.4)


def test_nothing_is_learnt_from_nothing():
    assert corrected(STATED, ()) == STATED
    assert correction(()) == 1.0


def test_one_run_moves_half_of_the_way():
    assert correction([4.0]) == pytest.approx(2.0)


def test_many_runs_that_agree_narrow_and_shift():
    found = corrected(STATED, [1.3] * 20)
    assert found.value == pytest.approx(13.0, rel=0.02)
    assert found.high / found.low < STATED.high / STATED.low


def test_runs_that_scatter_widen():
    found = corrected(within(10.0, 0.05), [0.5, 2.0] * 5)
    assert found.high / found.low > 3


@pytest.mark.parametrize("runs", [2, 5, 20])
@pytest.mark.parametrize("bias", [0.8, 1.4])
def test_nine_of_ten_next_runs_lie_inside(runs, bias):
    generator = np.random.default_rng(runs)
    stated = Interval(value=10, low=10 / np.exp(1.645 * 0.2), high=10 * np.exp(1.645 * 0.2))

    def inside() -> bool:
        ratios = bias * np.exp(generator.normal(0, 0.2, runs + 1))
        found = corrected(stated, ratios[1:].tolist())
        return bool(found.low <= 10 * ratios[0] <= found.high)

    assert np.mean([inside() for _ in range(2000)]) == pytest.approx(0.9, abs=0.045)
