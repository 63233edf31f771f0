from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lakemill import features
from lakemill.core.errors import ConfigError, NotFoundError, SchemaError
from lakemill.engines.frames import FRAME_ENGINES
from lakemill.features import FeatureLookup, TrainingSet

SPINE = "main.shop.demand"
PRICES = "main.shop.prices"
PRODUCTS = "main.shop.products"


def day(number: int) -> date:
    return date(2026, 1, number)


@pytest.fixture
def shop(ws):
    ws.table(SPINE).write(
        pa.table(
            {
                "product": ["a", "a", "b", "c", None],
                "day": [day(3), day(9), day(3), day(3), day(3)],
                "sold": [1, 2, 3, 4, 5],
            }
        )
    )
    prices = pa.table(
        {
            "product": ["a", "a", "a", "b"],
            "day": [day(1), day(3), day(5), day(4)],
            "price": [1.0, 3.0, 5.0, 40.0],
            "rank": pa.array([1, 3, 5, 4], pa.int16()),
        }
    )
    features.create_table(ws, PRICES, prices, primary_keys="product", timeseries_column="day")
    products = pa.table({"code": ["a", "b"], "kind": ["toy", "book"], "weight": [0.5, None]})
    features.create_table(ws, PRODUCTS, products, primary_keys="code")
    return ws


def prices(**options) -> FeatureLookup:
    return FeatureLookup(**{"table_name": PRICES, "lookup_key": "product", "timestamp_lookup_key": "day", **options})


def training_set(*lookups: FeatureLookup, **options) -> TrainingSet:
    return TrainingSet(spine=SPINE, lookups=lookups, label="sold", **options)


def test_features_are_those_known_at_the_time(shop, rows):
    frame = features.load(shop, training_set(prices()))
    assert frame.columns == ["product", "day", "sold", "price", "rank"]
    assert rows(frame) == sorted(
        [
            ("a", day(3), 1, 3.0, 3),
            ("a", day(9), 2, 5.0, 5),
            ("b", day(3), 3, None, None),
            ("c", day(3), 4, None, None),
            (None, day(3), 5, None, None),
        ],
        key=repr,
    )


def test_a_window_lets_old_features_go(shop, rows):
    frame = features.load(shop, training_set(prices(lookback_window=timedelta(days=3), feature_names=["price"])))
    assert [row[3] for row in rows(frame)] == [3.0, None, None, None, None]
    frame = features.load(shop, training_set(prices(lookback_window=timedelta(days=4), feature_names=["price"])))
    assert [row[3] for row in rows(frame)] == [3.0, 5.0, None, None, None]


def test_tables_without_time_are_joined_by_key(shop, rows):
    lookup = FeatureLookup(table_name=PRODUCTS, lookup_key="product")
    frame = features.load(shop, training_set(lookup))
    assert rows(frame) == sorted(
        [
            ("a", day(3), 1, "toy", 0.5),
            ("a", day(9), 2, "toy", 0.5),
            ("b", day(3), 3, "book", None),
            ("c", day(3), 4, None, None),
            (None, day(3), 5, None, None),
        ],
        key=repr,
    )


def test_lookups_rename_fill_and_follow_each_other(shop, rows):
    names = pa.table({"kind": ["toy", "book"], "Tax, in %": [19, 7]})
    features.create_table(shop, "main.shop.taxes", names, primary_keys="kind")
    wanted = training_set(
        prices(feature_names="price", rename_outputs={"price": "cost"}, default_values={"price": 0}),
        FeatureLookup(
            table_name=PRODUCTS, lookup_key="product", feature_names=["kind"], default_values={"kind": "it's new"}
        ),
        FeatureLookup(table_name="main.shop.taxes", lookup_key="kind"),
        exclude_columns=["day"],
    )
    frame = features.load(shop, wanted)
    assert frame.columns == ["product", "sold", "cost", "kind", "Tax, in %"]
    assert rows(frame) == sorted(
        [
            ("a", 1, 3.0, "toy", 19),
            ("a", 2, 5.0, "toy", 19),
            ("b", 3, 0.0, "book", 7),
            ("c", 4, 0.0, "it's new", None),
            (None, 5, 0.0, "it's new", None),
        ],
        key=repr,
    )


def test_a_default_keeps_the_type_of_its_column(shop):
    found = shop.frames.to_arrow(features.load(shop, training_set(prices(default_values={"rank": 0, "price": 1}))))
    assert (found.schema.field("rank").type, found.schema.field("price").type) == (pa.int16(), pa.float64())


def test_another_spine_needs_no_label(shop, rows):
    spine = shop.frames.from_arrow(pa.table({"day": [day(4)], "product": ["b"]}))
    frame = features.load(shop, training_set(prices(feature_names=["price"])), spine=spine)
    assert rows(frame) == [(day(4), "b", 40.0)]


def test_the_name_of_a_table_is_enough(shop, rows):
    assert len(rows(features.load(shop, SPINE))) == 5


def test_days_meet_instants(shop, rows):
    """A day's features are known from its midnight in UTC on."""
    spine = pa.table(
        {"product": ["b", "b"], "at": [datetime(2026, 1, 3, 23, 59, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC)]}
    )
    lookup = prices(timestamp_lookup_key="at", feature_names=["price"])
    frame = features.load(shop, training_set(lookup), spine=shop.frames.from_arrow(spine))
    assert [row[2] for row in rows(frame)] == [None, 40.0]


def test_what_is_read_enters_the_lineage(shop):
    features.load(shop, training_set(prices()))
    for name in (SPINE, PRICES):
        (read,) = [access for access in shop.catalog.lineage(name) if access.kind == "read"]
        assert (read.version, read.run_id, read.task_key) == (1, "run-1", "train")


def test_the_tables_of_a_training_set_are_named_once(shop):
    wanted = training_set(prices(feature_names=["price"]), prices(feature_names=["rank"]))
    assert features.table_refs(shop, wanted) == (shop.table(SPINE).ref, shop.table(PRICES).ref)
    assert features.table_refs(shop, SPINE) == (shop.table(SPINE).ref,)


PRODUCT = {"table_name": PRODUCTS, "lookup_key": "product"}


@pytest.mark.parametrize(
    ("wanted", "error", "texts"),
    [
        (TrainingSet(spine=SPINE, label="solt"), SchemaError, ["label 'solt'", "mean sold?"]),
        (training_set(exclude_columns=["dya"]), SchemaError, ["excluded column 'dya'", "mean day?"]),
        (training_set(prices(lookup_key="produkt")), SchemaError, ["'produkt'", "mean product?"]),
        (training_set(prices(timestamp_lookup_key="days")), SchemaError, ["'days'", "mean day?"]),
        (training_set(prices(feature_names=["prize"])), SchemaError, ["no feature 'prize'", "mean price?"]),
        (training_set(prices(rename_outputs={"prize": "x"})), SchemaError, ["no feature 'prize'", "mean price?"]),
        (training_set(prices(default_values={"prize": 1})), SchemaError, ["'prize'", "mean price?"]),
        (training_set(prices(default_values={"rank": 0.5})), SchemaError, ["0.5", "'rank'", "int16"]),
        (training_set(prices(default_values={"rank": 99_999})), SchemaError, ["99999", "int16"]),
        (
            training_set(prices(table_name="main.shop.price")),
            NotFoundError,
            ["main.shop.price", "mean main.shop.prices?"],
        ),
        (training_set(prices(timestamp_lookup_key=None)), ConfigError, ["row for each day", "timestamp_lookup_key"]),
        (training_set(prices(lookup_key=["product", "day"])), ConfigError, ["keys (product)", "(product, day)"]),
        (training_set(FeatureLookup(**PRODUCT, timestamp_lookup_key="day")), ConfigError, ["no time-series column"]),
        (training_set(FeatureLookup(table_name=SPINE, lookup_key="product")), ConfigError, ["no primary keys"]),
        (training_set(prices(rename_outputs={"price": "Sold"})), ConfigError, ["'Sold'", "rename_outputs"]),
        (training_set(prices(), prices()), ConfigError, ["'price'", "rename_outputs"]),
        (training_set(prices(lookup_key="sold")), SchemaError, ["'sold' of the spine is int64", "is string"]),
        (training_set(prices(timestamp_lookup_key="sold")), SchemaError, ["'sold' of the spine is int64", "date32"]),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(shop, wanted, error, texts):
    with pytest.raises(error) as caught:
        features.load(shop, wanted)
    assert [text for text in texts if text not in str(caught.value)] == []


def test_rows_of_any_library_may_take_the_place_of_the_spine(shop, rows):
    asked = pd.DataFrame({"product": ["a", "z"], "day": [day(4), day(4)]})
    frame = features.load(shop, training_set(prices()), spine=asked)
    assert rows(frame) == sorted([("a", day(4), 3.0, 3), ("z", day(4), None, None)], key=repr)


@pytest.mark.parametrize("kind", FRAME_ENGINES.kinds())
def test_rows_that_are_handed_over_keep_their_order(ws, frame_engines, kind):
    """Also through two joins, one of them as of a time, against the order of a shuffled frame."""
    generator, n = np.random.default_rng(2), 20_000
    ws.__dict__["frames"] = frame_engines[kind]
    days = [day(number) for number in range(1, 29)]
    known = pa.table({"product": ["a", "b"] * 28, "day": [d for d in days for _ in "ab"], "price": np.arange(56.0)})
    features.create_table(ws, PRICES, known, primary_keys="product", timeseries_column="day")
    features.create_table(ws, PRODUCTS, pa.table({"code": ["a", "b"], "kind": ["toy", "book"]}), primary_keys="code")
    asked = pd.DataFrame(
        {
            "product": generator.choice(list("abc"), n),
            "day": generator.choice(days, n),
            "order": generator.permutation(n),
        }
    )
    by_code = FeatureLookup(table_name=PRODUCTS, lookup_key="product")
    frame = features.load(ws, training_set(prices(), by_code), spine=asked)
    found = ws.frames.to_arrow(frame).read_all().to_pandas()
    assert list(found.columns) == ["product", "day", "order", "price", "kind"]
    pd.testing.assert_frame_equal(found[["product", "day", "order"]], asked, check_dtype=False)
