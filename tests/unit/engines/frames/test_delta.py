"""Only tables that their data files alone describe are read."""

from __future__ import annotations

import json
from pathlib import Path

import deltalake
import pyarrow as pa
import pytest

from lakemill.core.errors import NotFoundError, StorageError, UnsupportedError
from lakemill.core.records import TableRef
from lakemill.engines.frames._delta import data_files, open_table


def _ref(folder, version=0):
    return TableRef(name="main.test.t", location=str(folder), version=version, columns=())


def _switch_on(folder, feature):
    """Rewrite the first commit as another writer would have made it."""
    path = Path(folder, "_delta_log", "00000000000000000000.json")
    actions = [json.loads(line) for line in path.read_text().splitlines()]
    for action in actions:
        if "protocol" in action:
            features = {"readerFeatures": [feature], "writerFeatures": [feature]}
            action["protocol"] = {"minReaderVersion": 3, "minWriterVersion": 7, **features}
    path.write_text("\n".join(map(json.dumps, actions)))


def test_files_of_a_version(tmp_path):
    folder = tmp_path / "a b é"
    for number in range(3):
        deltalake.write_deltalake(folder, pa.table({"x": [number]}), mode="append")
    assert [len(data_files(open_table(_ref(folder, version)))) for version in range(3)] == [1, 2, 3]
    assert all(Path(path).is_file() for path in data_files(open_table(_ref(folder, 2))))
    with pytest.raises(NotFoundError, match="no version 3"):
        open_table(_ref(folder, 3))


def test_no_table_no_files(tmp_path):
    with pytest.raises(StorageError, match=r"main\.test\.t"):
        open_table(_ref(tmp_path / "nowhere"))


def test_partitions_are_refused(tmp_path):
    deltalake.write_deltalake(tmp_path / "t", pa.table({"x": [1], "day": ["mon"]}), partition_by=["day"])
    with pytest.raises(UnsupportedError, match="uses partitions"):
        open_table(_ref(tmp_path / "t"))


@pytest.mark.parametrize("feature", ["deletionVectors", "columnMapping"])
def test_features_that_plain_readers_would_miss_are_refused(tmp_path, feature):
    deltalake.write_deltalake(tmp_path / "t", pa.table({"x": [1]}))
    _switch_on(tmp_path / "t", feature)
    with pytest.raises(UnsupportedError, match=feature):
        open_table(_ref(tmp_path / "t"))
