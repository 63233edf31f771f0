"""Forecasts of some series made again: what they learn from, and what stays as it was."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from lakemill.core.errors import ConfigError
from lakemill.training.many import train
from lakemill.workspace import Workspace
from tests.unit.training.test_forecasting import DAYS, FIRST, HORIZON, PRODUCTS, definition, demand, workspace

LOCAL = {"forecasters": ("seasonal_naive", "ses"), "members": ("seasonal_naive", "ses")}
"""Both take six days and more."""


def result(ws: Workspace, table: str, training: str, *order: str) -> pd.DataFrame:
    rows = ws.table(f"main.shop.forecast_{table}").to_pandas().query("training == @training")
    return rows.drop(columns="training").sort_values(["product", *order]).reset_index(drop=True)


def forecast(ws: Workspace, version: int) -> pd.DataFrame:
    products = pd.DataFrame({"product": sorted(demand()["product"].unique())})
    return ws.models.load(f"main.shop.forecast/{version}").predict(products).sort_values(["product", "day"])


def new(rows: pd.DataFrame, product: str, days: int) -> pd.DataFrame:
    """Return the rows as if the product were so many days old."""
    return rows[(rows["product"] != product) | (rows["day"] >= FIRST + timedelta(days=DAYS - days))]


def test_series_trained_again_learn_from_all_and_come_out_as_they_were(tmp_path):
    """One series alone would teach other weights and intervals; on the same data nothing may change."""
    with workspace(tmp_path, demand()) as ws:
        first = train(ws, definition())
        again = train(ws, definition(), only=["p05", "p11"])
        assert (again.version.version, again.groups, again.failed) == (2, PRODUCTS, 0)
        pd.testing.assert_frame_equal(forecast(ws, 2), forecast(ws, 1), check_exact=True)
        for table, order in (
            ("accuracy", ("method",)),
            ("backtests", ("origin", "method")),
            ("holdout", ("position",)),
        ):
            rows = (result(ws, table, trained.training, *order) for trained in (again, first))
            pd.testing.assert_frame_equal(*rows, check_exact=True)
        weights = [result(ws, "models", trained.training)["weights"].tolist() for trained in (again, first)]
        assert np.array_equal(*weights)


def test_series_that_failed_get_what_a_training_of_all_would_give(tmp_path):
    """Three days are too few for both members; mended, the series equals that of a new workspace, the others stay."""
    with workspace(tmp_path / "old", new(demand(), "p07", 3)) as ws:
        first = train(ws, definition(**LOCAL))
        assert (first.groups, first.failed) == (PRODUCTS, 1)
        (failure,) = result(ws, "failures", first.training).to_dict("records")
        assert failure["product"] == "p07"
        assert failure["message"].startswith("TaskError: no member of the mix takes the series")
        ws.table("main.shop.demand").write(demand(), mode="overwrite")
        again = train(ws, definition(**LOCAL), only="failed")
        assert (again.version.version, again.groups, again.failed) == (2, PRODUCTS, 0)
        before, after = forecast(ws, 1), forecast(ws, 2)
    with workspace(tmp_path / "new", demand()) as ws:
        train(ws, definition(**LOCAL))
        whole = forecast(ws, 1)
    mended = after["product"] == "p07"
    pd.testing.assert_frame_equal(
        after[~mended].reset_index(drop=True), before.reset_index(drop=True), check_exact=True
    )
    expected = whole[whole["product"] == "p07"]
    pd.testing.assert_frame_equal(
        after[mended].reset_index(drop=True), expected.reset_index(drop=True), check_exact=True
    )


def test_another_horizon_is_refused(tmp_path):
    with workspace(tmp_path, demand()) as ws:
        train(ws, definition(**LOCAL))
        with pytest.raises(ConfigError, match="forecast/1 was trained up to another day or with another") as error:
            train(ws, definition(**LOCAL, horizon=HORIZON // 2), only=["p05"])
        assert "leave out only=" in str(error.value.hint)
        assert len(ws.models.versions("main.shop.forecast")) == 1


def test_series_are_not_carried_over_to_later_days(tmp_path):
    rows = demand()
    with workspace(tmp_path, rows[rows["day"] < FIRST + timedelta(days=DAYS - 1)]) as ws:
        train(ws, definition(**LOCAL))
        ws.table("main.shop.demand").write(rows, mode="overwrite")
        with pytest.raises(ConfigError, match="would forecast other days"):
            train(ws, definition(**LOCAL), only=["p05"])
