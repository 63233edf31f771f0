from __future__ import annotations

import dataclasses
import pickle

import pytest

from lakemill.core.errors import ConfigError, LakemillError, NotFoundError
from lakemill.core.records import ClusterSpec, Resources, content_hash, to_json


def test_records_are_frozen_and_slotted():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Resources().cpus = 2
    assert not hasattr(Resources(), "__dict__")


def test_equal_content_has_equal_hash_and_unequal_has_not():
    assert content_hash(Resources(cpus=1)) == content_hash(Resources(cpus=1.0))
    assert content_hash(Resources(cpus=1)) != content_hash(Resources(cpus=2))


def test_hash_of_a_function_names_it():
    assert to_json({"fn": content_hash}) == '{"fn":"lakemill.core.records:content_hash"}'


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"cpus": 0}, "cpus=0"), ({"gpus": -1}, "gpus=-1"), ({"memory_bytes": 5}, "got 5")],
)
def test_impossible_resources_are_refused_at_birth(arguments, named):
    with pytest.raises(ConfigError, match=named):
        Resources(**arguments)


def test_threads_are_whole_and_at_least_one():
    assert [Resources(cpus=c).threads for c in (0.25, 1, 2.9)] == [1, 1, 2]


def test_a_cluster_is_started_or_connected_to():
    with pytest.raises(ConfigError, match="not both"):
        ClusterSpec(kind="ray", address="ray://head:10001", num_workers=2)


def test_errors_keep_their_hint_across_processes():
    error = pickle.loads(pickle.dumps(NotFoundError("no table a.b.c", hint="did you mean a.b.d?")))
    assert isinstance(error, NotFoundError)
    assert isinstance(error, LakemillError)
    assert str(error) == "no table a.b.c\n  hint: did you mean a.b.d?"
