from __future__ import annotations

import pickle
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from lakemill.training.many.artifact import CACHED_MODELS, GroupModels, key_text, write_models


def write(path: Path, models) -> int:
    return write_models(path, ((key, pickle.dumps(model)) for key, model in models))


@pytest.mark.parametrize("name", ["models.sqlite", "per cent % and what? #1.sqlite"])
def test_each_group_has_its_own_model_whatever_its_key_and_the_file_are_called(tmp_path: Path, name):
    keys = [("a",), ("a b | c", 3), ("", -1), ('"quoted"', 2**60), ("ü", 0), (date(2026, 1, 31),)]
    models = (
        GroupModels(tmp_path / name, modules=tmp_path / "code")
        if write(tmp_path / name, zip(keys, range(6), strict=True))
        else None
    )
    assert [models.get(key) for key in keys] == list(range(6))
    assert len(models) == 6
    assert models.get(("absent",)) is None


def test_a_later_model_of_a_group_wins_and_the_count_is_of_groups(tmp_path: Path):
    assert write(tmp_path / "m", [(("a",), 1), (("b",), 2), (("a",), 3)]) == 2
    assert GroupModels(tmp_path / "m", modules=tmp_path / "code").get(("a",)) == 3


def test_writing_again_leaves_nothing_of_before(tmp_path: Path):
    write(tmp_path / "m", [(("a",), 1)])
    assert write(tmp_path / "m", [(("b",), 2)]) == 1
    assert GroupModels(tmp_path / "m", modules=tmp_path / "code").keys() == [("b",)]


def test_keys_of_numpy_and_python_find_the_same_model():
    assert key_text((np.int64(3), np.str_("x"))) == key_text((3, "x")) == '[3, "x"]'


def test_models_are_loaded_when_asked_for_and_the_oldest_leave(tmp_path: Path):
    write(tmp_path / "m", [((number,), number) for number in range(CACHED_MODELS + 10)])
    models = GroupModels(tmp_path / "m", modules=tmp_path / "code")
    assert len(models._cache) == 0
    assert [models.get((number,)) for number in range(CACHED_MODELS + 10)] == list(range(CACHED_MODELS + 10))
    assert len(models._cache) == CACHED_MODELS
    assert models.get((0,)) == 0
