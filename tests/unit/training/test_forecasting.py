"""Forecasts of synthetic demand: what the choice may see, and what the model returns."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import lakemill as lm
from lakemill.core.errors import ConfigError, SchemaError
from lakemill.core.records import Context
from lakemill.training.many import Trained, train
from lakemill.training.many.session import Session
from lakemill.workspace import Workspace, WorkspaceSettings

DAYS, HORIZON, PRODUCTS = 180, 14, 24
FIRST = date(2024, 1, 1)


def demand(seed: int = 0) -> pd.DataFrame:
    rng, rows = np.random.default_rng(seed), []
    for number in range(PRODUCTS):
        start, level = (0 if number % 4 else 60), 0.3 + number % 6
        quantity = rng.poisson(level * (1 + 0.5 * np.sin(np.arange(DAYS - start) * 2 * np.pi / 7)))
        quantity[0] = 1
        days = [FIRST + timedelta(days=start + step) for step in range(DAYS - start)]
        rows.append(pd.DataFrame({"product": f"p{number:02}", "day": days, "quantity": quantity.astype("int64")}))
    return pd.concat(rows, ignore_index=True)


def workspace(folder: Path, rows: pd.DataFrame) -> Workspace:
    ws = Workspace(WorkspaceSettings.in_folder("test", folder), context=Context(user="tester"))
    days = [FIRST + timedelta(days=step) for step in range(DAYS + HORIZON)]
    calendar = pd.DataFrame({"day": days, "weekday": np.array([day.weekday() for day in days], "int32")})
    ws.table("main.shop.calendar").write(calendar)
    ws.table("main.shop.demand").write(rows)
    return ws


def definition(**changes) -> lm.ManyTraining:
    fit = {
        "horizon": HORIZON,
        "season": 7,
        "calendar": "main.shop.calendar",
        "weight": "quantity",
        "forecasters": ("lightgbm", "seasonal_naive", "historic_mean", "ses", "tsb"),
        "members": ("lightgbm", "ses", "tsb"),
        "origins": 2,
        "spacing": 7,
    }
    return lm.ManyTraining(
        training_set=lm.TrainingSet(spine="main.shop.demand", label="quantity"),
        by="product",
        time="day",
        fit=lm.Forecasting(**fit | changes),
        registered_model="main.shop.forecast",
        gate=lm.BetterThan(opponent="champion", metric="wrmsse", by=0.0),
    )


def rows_of(ws: Workspace, output: str, of: Trained) -> pd.DataFrame:
    """Return what one training left in a table; other tests may have trained in the same workspace."""
    rows = ws.table(f"main.shop.forecast_{output}").to_pandas()
    return rows[rows["training"] == of.training]


def choices(ws: Workspace, of: Trained) -> pd.DataFrame:
    models = rows_of(ws, "models", of).sort_values("product")
    return pd.DataFrame(models["weights"].tolist(), index=models["product"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    ws = workspace(tmp_path_factory.mktemp("shop"), demand())
    with ws:
        yield ws, train(ws, definition())


def test_every_series_has_a_model_and_a_forecast(trained):
    ws, result = trained
    assert (result.groups, result.failed) == (PRODUCTS, 0)
    products = sorted(demand()["product"].unique())
    predicted = ws.models.load("main.shop.forecast@champion").predict(pd.DataFrame({"product": products}))
    expected_days = [FIRST + timedelta(days=DAYS + step) for step in range(HORIZON)]
    assert predicted.groupby("product")["day"].apply(list).tolist() == [expected_days] * PRODUCTS
    bounds = predicted[["lower_95", "lower_80", "forecast", "upper_80", "upper_95"]].to_numpy()
    assert (np.diff(bounds, axis=1) >= 0).all()
    assert (bounds >= 0).all()


def test_seasonal_naive_is_measured_as_pandas_measures_it(trained):
    ws, first = trained
    rows = demand()
    accuracy = rows_of(ws, "accuracy", first).query("method == 'seasonal_naive'").set_index("product")
    for product, series in rows.groupby("product")["quantity"]:
        y, actual = series.to_numpy()[:-HORIZON].astype(float), series.to_numpy()[-HORIZON:]
        forecast = np.resize(y[-7:], HORIZON)
        rmsse = np.sqrt(np.mean((actual - forecast) ** 2) / np.mean(np.diff(y) ** 2))
        assert accuracy.loc[product, "rmsse"] == pytest.approx(rmsse, rel=1e-12)


def test_the_held_out_days_are_seen_by_no_choice(trained, tmp_path):
    """Spoil the last horizon: every weight and every backtest stays; spoil the days before: they change."""
    ws, first = trained
    spoilt = demand()
    late = spoilt["day"] >= FIRST + timedelta(days=DAYS - HORIZON)
    spoilt.loc[late, "quantity"] = spoilt.loc[late, "quantity"] * 50 + 7
    with workspace(tmp_path / "late", spoilt) as other:
        retrained = train(other, definition())
        pd.testing.assert_frame_equal(choices(other, retrained), choices(ws, first), check_exact=True)
        assert other.table("main.shop.forecast_accuracy").to_pandas()["rmsse"].max() > 10
    spoilt = demand()
    earlier = spoilt["day"].between(
        FIRST + timedelta(days=DAYS - 2 * HORIZON), FIRST + timedelta(days=DAYS - HORIZON - 1)
    )
    spoilt.loc[earlier, "quantity"] *= 50
    with workspace(tmp_path / "earlier", spoilt) as other:
        assert not choices(other, train(other, definition())).equals(choices(ws, first))


def test_the_same_training_again_is_not_promoted(trained):
    ws, first = trained
    with Workspace(ws.settings, context=Context(user="tester", run_id="second")) as again:
        second = train(again, definition())
    assert second.version.version == first.version.version + 1
    assert not second.decision.passed
    assert "champion version 1" in second.decision.reason
    assert ws.models.get("main.shop.forecast@champion").version == first.version.version


def test_a_done_training_is_not_done_again(trained):
    ws, first = trained
    assert train(ws, definition()).version.version == first.version.version


def test_another_calendar_makes_another_training(tmp_path):
    with workspace(tmp_path, demand()) as ws:
        before = Session(ws, definition())
        assert [(ref.name, ref.version) for ref in before.refs] == [("main.shop.demand", 1), ("main.shop.calendar", 1)]
        assert Session(ws, definition()).id == before.id
        ws.table("main.shop.calendar").write(ws.table("main.shop.calendar").to_pandas(), mode="overwrite")
        assert Session(ws, definition()).id != before.id


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda rows: pa.Table.from_pandas(rows, preserve_index=False).slice(0, 0), "main.shop.demand is empty"),
        (lambda rows: rows.drop(index=5), "1 series of main.shop.demand do not have exactly one row"),
        (lambda rows: pd.concat([rows, rows.iloc[[7]]]), "1 series of main.shop.demand do not have exactly one row"),
        (lambda rows: rows.assign(day=rows["day"] + timedelta(days=400)), "no day of main.shop.demand is in"),
        (
            lambda rows: rows.assign(day=rows["day"] + timedelta(days=10)),
            "knows 4 days after the data, the horizon is 14",
        ),
        (lambda rows: rows[rows["day"] < FIRST + timedelta(days=40)], "40 open days are too few"),
    ],
)
def test_bad_series_are_refused(tmp_path, spoil, message):
    with workspace(tmp_path, spoil(demand())) as ws, pytest.raises(SchemaError, match=message):
        train(ws, definition())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 0}, "horizon must be 1 or more, got 0"),
        ({"forecasters": ("auto_est",), "members": ()}, "no forecaster 'auto_est'"),
        ({"members": ("imapa",)}, "members .'imapa'. are not among the forecasters"),
    ],
)
def test_bad_declarations_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        definition(**changes)
