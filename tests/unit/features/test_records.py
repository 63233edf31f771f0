from __future__ import annotations

from datetime import timedelta

import pytest

from lakemill.core.errors import ConfigError
from lakemill.core.records import content_hash
from lakemill.features import FeatureLookup, TrainingSet, as_training_set


def test_equal_declarations_have_equal_hashes():
    one = TrainingSet(
        spine="main.a.s",
        lookups=[
            FeatureLookup(table_name="t", lookup_key="k", timestamp_lookup_key="d", lookback_window=timedelta(days=1))
        ],
        exclude_columns="k",
    )
    other = TrainingSet(
        spine="main.a.s",
        lookups=(FeatureLookup(table_name="t", lookup_key=["k"], timestamp_lookup_key="d", lookback_window=86400.0),),
        exclude_columns=["k"],
    )
    assert one == other
    assert content_hash(one) == content_hash(other)


def test_every_field_counts():
    base = {"table_name": "t", "lookup_key": "k", "timestamp_lookup_key": "d"}
    variants = [
        {},
        {"feature_names": ["x"]},
        {"rename_outputs": {"x": "y"}},
        {"lookback_window": 1.0},
        {"default_values": {"x": 0}},
    ]
    assert len({content_hash(FeatureLookup(**base, **variant)) for variant in variants}) == len(variants)


def test_a_table_name_is_a_training_set():
    assert as_training_set("main.a.s") == TrainingSet(spine="main.a.s")
    assert as_training_set(TrainingSet(spine="main.a.s", label="y")).label == "y"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"lookup_key": ()}, "needs a key"),
        ({"lookup_key": "k", "lookback_window": 5.0}, "no time to start from"),
        ({"lookup_key": "k", "timestamp_lookup_key": "d", "lookback_window": timedelta(days=-1)}, "0 or more"),
    ],
)
def test_impossible_lookups_are_refused_at_birth(fields, text):
    with pytest.raises(ConfigError, match=text):
        FeatureLookup(table_name="main.a.t", **fields)
