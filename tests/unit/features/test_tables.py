from __future__ import annotations

from datetime import date

import polars as pl
import pyarrow as pa
import pytest

from lakemill import features
from lakemill.core.errors import (
    AlreadyExistsError,
    ConfigError,
    DuplicateKeyError,
    NotFoundError,
    SchemaError,
)

DAY = date(2026, 1, 31)
NAME = "main.shop.prices"
PRICES = pa.table({"product": ["a", "b"], "day": [DAY, DAY], "price": [1.0, 2.0]})


def test_a_table_is_made_from_a_schema(ws, rows):
    ref = features.create_table(
        ws,
        NAME,
        PRICES.schema,
        primary_keys="product",
        timeseries_column="day",
        description="price of each product",
        tags={"owner": "ann"},
    )
    info = ws.catalog.info(NAME)
    assert ref.version == 0
    assert (info.primary_keys, info.timeseries_column) == (("product", "day"), "day")
    assert (info.comment, info.tags) == ("price of each product", {"owner": "ann"})
    assert rows(ws.table(NAME).scan()) == []


@pytest.mark.parametrize("source", ["frame", "arrow", "polars", "reader"])
def test_a_table_is_made_from_its_first_rows(ws, rows, source):
    data = {
        "frame": ws.frames.from_arrow(PRICES),
        "arrow": PRICES,
        "polars": pl.DataFrame(PRICES),
        "reader": PRICES.to_reader(),
    }[source]
    features.create_table(ws, NAME, data, primary_keys=["product", "day"], timeseries_column="day")
    assert rows(ws.table(NAME).scan()) == [("a", DAY, 1.0), ("b", DAY, 2.0)]


def test_first_rows_that_are_refused_leave_no_table(ws):
    twice = pa.concat_tables([PRICES, PRICES])
    for make in (features.create_table, features.write_table):
        with pytest.raises(DuplicateKeyError):
            make(ws, NAME, twice, primary_keys="product", timeseries_column="day")
        assert not ws.catalog.exists(NAME)


def test_writing_merges_by_key_and_time(ws, rows):
    features.write_table(ws, NAME, PRICES, primary_keys="product", timeseries_column="day")
    assert [commit.operation for commit in ws.catalog.history(NAME)] == ["MERGE", "CREATE TABLE"]
    later = pa.table({"product": ["b", "b"], "day": [DAY, date(2026, 2, 1)], "price": [20.0, 21.0]})
    features.write_table(ws, NAME, ws.frames.from_arrow(later))
    assert rows(ws.table(NAME).scan()) == [("a", DAY, 1.0), ("b", DAY, 20.0), ("b", date(2026, 2, 1), 21.0)]
    features.write_table(ws, NAME, later, mode="overwrite", primary_keys="product", timeseries_column="day")
    assert len(rows(ws.table(NAME).scan())) == 2


def test_the_first_rows_are_written_in_the_mode_that_was_asked(ws, rows):
    features.write_table(ws, NAME, PRICES, mode="overwrite", primary_keys="product", timeseries_column="day")
    assert [commit.operation for commit in ws.catalog.history(NAME)] == ["WRITE", "CREATE TABLE"]
    assert rows(ws.table(NAME).scan()) == [("a", DAY, 1.0), ("b", DAY, 2.0)]


def test_new_features_come_when_asked(ws, rows):
    features.write_table(ws, NAME, PRICES, primary_keys="product", timeseries_column="day")
    more = pa.table({"product": ["a"], "day": [DAY], "stock": [7]})
    with pytest.raises(SchemaError, match="'stock'"):
        features.write_table(ws, NAME, more)
    features.write_table(ws, NAME, more, evolve=True)
    assert rows(ws.table(NAME).scan()) == [("a", DAY, 1.0, 7), ("b", DAY, 2.0, None)]


def test_a_feature_table_never_holds_a_key_twice(ws):
    features.write_table(ws, NAME, PRICES, primary_keys="product", timeseries_column="day")
    for mode in ("merge", "overwrite"):
        with pytest.raises(DuplicateKeyError):
            features.write_table(ws, NAME, pa.concat_tables([PRICES, PRICES]), mode=mode)
    with pytest.raises(ConfigError, match="primary keys"):
        ws.table(NAME).write(PRICES)


def test_a_missing_table_needs_keys(ws):
    with pytest.raises(NotFoundError) as caught:
        features.write_table(ws, NAME, PRICES)
    assert "primary_keys" in caught.value.hint
    with pytest.raises(ConfigError, match="name nothing"):
        features.create_table(ws, NAME, PRICES, primary_keys="day", timeseries_column="day")
    with pytest.raises(SchemaError, match="prodct"):
        features.create_table(ws, NAME, PRICES, primary_keys="prodct")


def test_other_keys_than_the_table_s_are_refused(ws):
    features.write_table(ws, NAME, PRICES, primary_keys="product", timeseries_column="day")
    with pytest.raises(ConfigError, match=r"\(product, day\) and time day"):
        features.write_table(ws, NAME, PRICES, primary_keys="product")
    with pytest.raises(AlreadyExistsError):
        features.create_table(ws, NAME, PRICES, primary_keys="product")


def test_rows_must_be_rows(ws):
    with pytest.raises(SchemaError, match="Arrow stream"):
        features.write_table(ws, NAME, [("a", 1)], primary_keys="product")
