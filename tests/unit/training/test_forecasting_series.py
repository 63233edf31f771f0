"""One series at a time: what is measured where there is no unit to measure in."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lakemill.training.forecasting import Forecasting
from lakemill.training.forecasting.grid import Grid
from lakemill.training.forecasting.metrics import mase, rmsse, seasonal_change, squared_change
from lakemill.training.forecasting.series import backtest
from lakemill.training.many.groups import Group, GroupRows

METHOD = Forecasting(horizon=2, calendar="a.b.c", season=1, forecasters=("historic_mean",), members=("historic_mean",))


def group(y: list[float]) -> Group:
    rows = pa.table({"position": range(len(y)), "y": y, "w": [1.0] * len(y)})
    nothing = pa.table({"origin": pa.array([], pa.int64()), "value": pa.array([], pa.float64())})
    return Group(("p",), {"rows": GroupRows(rows), "global": GroupRows(nothing)})


@pytest.mark.parametrize(
    ("past", "unit", "error"), [([3.0, 3.0, 3.0], None, None), ([2.0, 4.0, 3.0], 2.5, np.sqrt(2.5 / 2.5))]
)
def test_a_series_that_never_changed_has_no_unit_and_no_scaled_error(past, unit, error):
    """Null, not nan: a mean over series leaves it out. The mean of the past is 3; 1 and 4 are missed by 2 and 1."""
    origins = Grid(end=7, holdout=5, backtest=(3,), learn=())
    found = backtest(METHOD, origins, group([*past, 1.0, 4.0, 9.0, 9.0]))["backtests"]
    assert (found["unit"], found["rmsse"]) == ([unit], [error if error is None else pytest.approx(error)])
    assert found["seen"] == [3]


def test_too_short_a_series_has_no_unit():
    one = np.array([5.0])
    assert squared_change(one) is None
    assert seasonal_change(one, 1) is None
    assert rmsse(one, one, None) is None
    assert mase(one, one, None) is None
