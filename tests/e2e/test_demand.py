"""The example project as a newcomer runs it, over fifty products, on every engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

import lakemill as lm
from lakemill.core.errors import MissingExtraError
from lakemill.engines.tasks import TASK_ENGINES

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.timeout(900)]

# Ten products that sell, forty of all sorts, two with a huge order that was cancelled on its day.
# Decimal, because the order of a sum of floats, and with it the place, would differ from run to run.
FIFTY = """
    with clean as (
      select *, upper(trim(StockCode)) as code from '{raw}'
      where regexp_full_match(upper(trim(StockCode)), '[0-9]{{5}}[A-Z]*')
    ), ranked as (
      select code, row_number() over (order by sum(Quantity * UnitPrice::decimal(12, 3)) desc, code) as place from clean
      group by code
    )
    select c.* exclude code from clean c join ranked using (code)
    where place <= 10 or (place > 300 and place % 90 = 0 and place < 3900) or code in ('23166', '23843')
    order by InvoiceDate, InvoiceNo, StockCode, Quantity, UnitPrice
"""

ORDERS = {
    "demand_features": ("product", "day"),
    "weekday_features": ("product", "weekday", "day"),
    "forecast": ("product", "day"),
    "demand_accuracy": ("product", "method"),
}


def lakemill(*arguments: str, cwd: Path, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "lakemill", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project_of(tmp_path_factory: pytest.TempPathFactory, required: set[str]):
    """Return the folder of a project whose job has run on an engine, run once each."""
    folders: dict[str, Path] = {}

    def run(kind: str, purpose: str = "shared") -> Path:
        key = f"{kind}-{purpose}"
        if key not in folders:
            folders[key] = project(tmp_path_factory.mktemp(key) / "demand")
            lakemill("run", "demand", "--engine", kind, cwd=folders[key])
        return folders[key]

    return run


def project(folder: Path) -> Path:
    lakemill("init", str(folder), "--template", "demand", cwd=folder.parent)
    raw = folder / "data" / "online_retail_2010_2011.parquet"
    fifty = duckdb.sql(FIFTY.format(raw=raw)).to_arrow_table()
    pq.write_table(fifty, raw)
    return folder


def rows(folder: Path, table: str, *order: str) -> pd.DataFrame:
    found = DeltaTable(folder / ".lakemill" / "tables" / "main" / "retail" / table).to_pyarrow_table().to_pandas()
    return found.sort_values(list(order)).reset_index(drop=True) if order else found


def test_nothing_is_dropped_silently(project_of):
    """Sales and quarantine are the raw lines; each rule caught what DuckDB finds on the raw file."""
    folder = project_of("local")
    raw = folder / "data" / "online_retail_2010_2011.parquet"
    total = pq.read_metadata(raw).num_rows
    sales, quarantine = rows(folder, "sales"), rows(folder, "quarantine")
    assert sorted([*sales["line"], *quarantine["line"]]) == list(range(total))
    cancelled = duckdb.sql(f"select count(*) from '{raw}' where InvoiceNo like 'C%' or Quantity <= 0").fetchall()[0][0]
    assert (quarantine["rule"] == "cancelled or returned").sum() == cancelled


def test_a_sale_that_is_cancelled_on_its_day_is_no_sale(project_of):
    """Each cancellation, in turn, takes back the first sale before it; nothing else is caught by that rule."""
    folder = project_of("local")
    sales, quarantine = rows(folder, "sales"), rows(folder, "quarantine")
    caught = quarantine[quarantine["rule"] == "sold and cancelled on the same day"]
    assert set(taken_back(pd.concat([sales, quarantine]))) == set(caught["line"]) != set()
    assert {("541431", "23166", 74215), ("581483", "23843", 80995)} <= set(
        caught[["invoice", "product", "quantity"]].itertuples(index=False, name=None)
    )
    assert "23843" not in set(sales["product"])  # it was sold on that day only


def taken_back(lines: pd.DataFrame) -> list[int]:
    """Return the lines of sales that were cancelled, going through the day as the shop did."""
    lines = lines[
        lines["rule"].isin(["cancelled or returned", "sold and cancelled on the same day"]) | lines["rule"].isna()
    ]
    lines = lines.drop_duplicates([name for name in lines.columns if name != "line"])
    found, free = list[int](), dict[tuple[object, ...], list[int]]()
    for line in lines[lines["customer"].notna()].sort_values(["sold_at", "line"]).itertuples():
        kept = free.setdefault((line.customer, line.product, line.day, abs(line.quantity)), [])
        if line.quantity > 0:
            kept.append(line.line)
        elif line.invoice.startswith("C") and kept:
            found.append(kept.pop(0))
    return found


def test_daily_demand_is_that_of_pandas(project_of):
    folder = project_of("local")
    sales, demand = rows(folder, "sales"), rows(folder, "daily_demand", "product", "day")
    sold = sales.groupby(["product", "day"])["quantity"].sum()
    expected = demand.set_index(["product", "day"])["quantity"]
    assert expected[expected > 0].to_dict() == sold.to_dict()
    days = sorted(sales["day"].unique())
    for product, of_product in demand.groupby("product"):
        first = sales.loc[sales["product"] == product, "day"].min()
        assert of_product["day"].tolist() == [day for day in days if day >= first]


def test_features_are_those_known_in_the_morning(project_of):
    """Rolling means equal pandas' over the days before, for every product."""
    folder = project_of("local")
    demand = rows(folder, "daily_demand", "product", "day")
    features = rows(folder, "demand_features", "product", "day").set_index(["product", "day"])
    for product, of_product in demand.groupby("product"):
        quantity = of_product.set_index("day")["quantity"].astype(float)
        scale = quantity.diff().pow(2).expanding().mean().pow(0.5).shift(1)
        known = features.loc[product].reindex(quantity.index)
        usual = scale > 0
        expected = (quantity.rolling(28, min_periods=1).mean().shift(1) / scale)[usual]
        pd.testing.assert_series_equal(known["mean_28"][usual], expected, check_names=False, rtol=1e-9)


def test_every_product_has_a_registered_forecast(project_of):
    folder = project_of("local")
    forecast = rows(folder, "forecast", "product", "day")
    products = rows(folder, "daily_demand")["product"].unique()
    assert forecast.groupby("product").size().to_dict() == dict.fromkeys(products, 28)
    assert forecast["day"].min() > rows(folder, "sales")["day"].max()
    assert not {day.weekday() for day in forecast["day"]} & {5}  # the shop is closed on Saturdays
    with lm.open(folder) as ws:
        champion = ws.models.get("main.retail.demand@champion")
        again = ws.models.load("main.retail.demand@champion").predict(forecast[["product"]].drop_duplicates())
    again = again.sort_values(["product", "day"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(again, forecast[again.columns], check_exact=True)
    assert champion.aliases == ("challenger", "champion")


@pytest.mark.parametrize("kind", [kind for kind in TASK_ENGINES.kinds() if kind != "local"])
def test_engines_give_the_same_forecasts(project_of, kind, required):
    """0 ULP: not one bit of any feature, forecast, weight or accuracy differs."""
    try:
        TASK_ENGINES.load(kind)
    except MissingExtraError as error:
        if kind in required:
            pytest.fail(str(error))
        pytest.skip(str(error))
    here, there = project_of("local"), project_of(kind)
    for table, order in ORDERS.items():
        expected, found = rows(here, table, *order), rows(there, table, *order)
        columns = [name for name in expected.columns if name != "training"]
        pd.testing.assert_frame_equal(found[columns], expected[columns], check_exact=True)
    (run,) = json.loads(lakemill("runs", "--json", cwd=there))["runs"]
    assert kind in json.dumps(json.loads(lakemill("runs", run["run_id"], "--json", cwd=there)))


def test_running_again_is_safe(project_of):
    """The second run makes a second version, which is no better and is not promoted."""
    folder = project_of("local", "again")
    before = rows(folder, "forecast", "product", "day")
    lakemill("run", "demand", cwd=folder)
    pd.testing.assert_frame_equal(rows(folder, "forecast", "product", "day"), before, check_exact=True)
    with lm.open(folder) as ws:
        assert [version.version for version in ws.models.versions("main.retail.demand")] == [2, 1]
        assert ws.models.get("main.retail.demand@champion").version == 1


def test_a_file_that_is_not_parquet_is_named(tmp_path):
    folder = project(tmp_path / "demand")
    (folder / "data" / "online_retail_2010_2011.parquet").write_text("not parquet at all")
    done = subprocess.run(
        [sys.executable, "-m", "lakemill", "run", "demand"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "online_retail_2010_2011.parquet" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
