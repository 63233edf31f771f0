from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakemill.catalog import CommitKey, DataFile
from lakemill.catalog.files import Folder
from lakemill.catalog.log import Log
from lakemill.core.errors import (
    ConfigError,
    ConflictError,
    DuplicateKeyError,
    NotFoundError,
    SchemaError,
    StorageError,
)

ROWS = pa.table({"k": [1, 2], "v": ["a", "b"]})


def rows(*pairs: tuple) -> pa.Table:
    return pa.table(
        {"k": pa.array([k for k, _ in pairs], pa.int64()), "v": pa.array([v for _, v in pairs], pa.string())}
    )


def files_of(location: str) -> set[str]:
    return {path.name for path in Path(location).glob("*.parquet")}


def test_append_adds_and_overwrite_replaces(catalog, held):
    catalog.write("main.a.t", ROWS)
    catalog.write("main.a.t", rows((3, "c")))
    assert held("main.a.t") == [(1, "a"), (2, "b"), (3, "c")]
    catalog.write("main.a.t", rows((9, "z")), mode="overwrite")
    assert held("main.a.t") == [(9, "z")]
    catalog.write("main.a.t", ROWS.slice(0, 0), mode="overwrite")
    assert held("main.a.t") == []


def test_no_other_way_to_write_is_taken_for_one(catalog, held):
    catalog.write("main.a.t", ROWS)
    with pytest.raises(ConfigError, match=r"'overwrit'\n.*did you mean overwrite"):
        catalog.write("main.a.t", ROWS, mode="overwrit")
    assert held("main.a.t") == [(1, "a"), (2, "b")]


def test_polars_pandas_and_readers_write_into_one_table(catalog, held):
    catalog.write("main.a.t", ROWS)
    catalog.write("main.a.t", pl.DataFrame({"k": [3], "v": pl.Series(["c"], dtype=pl.Categorical)}))
    catalog.write("main.a.t", pd.DataFrame({"k": [0, 4], "v": ["", "d"]}).iloc[1:])
    catalog.write("main.a.t", rows((5, "e")).to_reader())
    catalog.write("main.a.t", pl.DataFrame({"v": ["f"], "k": [6]}))
    assert held("main.a.t") == [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e"), (6, "f")]


def test_merge_updates_by_key_and_inserts_the_rest(catalog, held):
    catalog.write("main.a.t", ROWS)
    ref = catalog.write("main.a.t", rows((2, "B"), (3, "c")), mode="merge", keys=["k"])
    assert held("main.a.t") == [(1, "a"), (2, "B"), (3, "c")]
    assert ref.version == 2


def test_a_merge_makes_a_table_with_primary_keys(catalog, held):
    catalog.write("main.a.t", rows((1, "a")), mode="merge", keys=["k"])
    assert catalog.info("main.a.t").primary_keys == ("k",)
    catalog.write("main.a.t", rows((1, "A"), (2, "b")), mode="merge")
    assert held("main.a.t") == [(1, "A"), (2, "b")]


def test_keys_may_have_any_name(catalog, held):
    name = 'Stock "Code" x'
    catalog.write("main.a.t", pa.table({name: ["a", "b"], "V": [1, 2]}), mode="merge", keys=[name])
    catalog.write("main.a.t", pa.table({name: ["b", "c"], "V": [20, 30]}), mode="merge")
    assert held("main.a.t") == [("a", 1), ("b", 20), ("c", 30)]
    with pytest.raises(DuplicateKeyError):
        catalog.write("main.a.t", pa.table({name: ["d", "d"], "V": [1, 2]}), mode="merge")


def test_an_empty_merge_changes_nothing_but_is_a_version(catalog, held):
    first = catalog.write("main.a.t", rows((1, "a")), mode="merge", keys=["k"])
    second = catalog.write("main.a.t", rows(), mode="merge", commit=CommitKey(writer="w", sequence=0))
    assert second.version == first.version + 1
    assert catalog.committed("main.a.t", "w") == 0
    assert held("main.a.t") == [(1, "a")]


@pytest.mark.parametrize("mode", ["merge", "overwrite"])
def test_duplicate_keys_are_refused(catalog, held, mode):
    """Also where neither row meets one that is there: delta-rs itself would insert both."""
    location = catalog.write("main.a.t", rows((1, "a")), mode="merge", keys=["k"]).location
    before = files_of(location)
    with pytest.raises(DuplicateKeyError, match="k=7") as caught:
        catalog.write("main.a.t", rows((6, "x"), (7, "y"), (7, "z")), mode=mode)
    assert "one row per key" in caught.value.hint
    assert held("main.a.t") == [(1, "a")]
    assert files_of(location) == before


@pytest.mark.parametrize("mode", ["merge", "overwrite"])
def test_null_keys_are_refused(catalog, held, mode):
    catalog.write("main.a.t", rows((1, "a")), mode="merge", keys=["k"])
    with pytest.raises(SchemaError, match="'k' may not be null"):
        catalog.write("main.a.t", rows((2, "b"), (None, "c")), mode=mode)
    assert held("main.a.t") == [(1, "a")]


def test_null_keys_are_refused_by_tables_without_primary_keys_too(catalog):
    catalog.write("main.a.t", rows((None, "a")))
    with pytest.raises(SchemaError, match="'k' may not be null"):
        catalog.write("main.a.t", rows((None, "b")), mode="merge", keys=["k"])


def test_a_table_with_primary_keys_takes_no_append(catalog):
    catalog.write("main.a.t", rows((1, "a")), mode="merge", keys=["k"])
    with pytest.raises(ConfigError, match="primary keys") as caught:
        catalog.write("main.a.t", rows((2, "b")))
    assert 'mode="merge"' in caught.value.hint


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"mode": "merge"}, "no primary keys"),
        ({"mode": "append", "keys": ["k"]}, "belong to mode='merge'"),
        ({"mode": "overwrite", "keys": ["k"]}, "belong to mode='merge'"),
    ],
)
def test_keys_and_mode_must_go_together(catalog, arguments, text):
    catalog.write("main.a.there", ROWS)
    for name in ("main.a.there", "main.a.missing"):
        with pytest.raises(ConfigError, match=text):
            catalog.write(name, ROWS, **arguments)
    assert not catalog.exists("main.a.missing")


def test_a_merge_goes_by_the_primary_keys_only(catalog):
    catalog.write("main.a.t", ROWS, mode="merge", keys=["k"])
    with pytest.raises(ConfigError, match="merges by its primary keys"):
        catalog.write("main.a.t", ROWS, mode="merge", keys=["v"])
    with pytest.raises(SchemaError, match="'kk'"):
        catalog.write("main.a.u", ROWS, mode="merge", keys=["kk"])


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        (ROWS.append_column("w", pa.array([1, 2])), ["new column 'w'"]),
        (ROWS.drop_columns(["v"]), ["missing column 'v'"]),
        (ROWS.set_column(0, "k", pa.array(["1", "2"])), ["'k' is string, the table has int64"]),
        (ROWS.set_column(0, "k", pa.array([1, 2], pa.int32())), ["'k' is int32, the table has int64"]),
        (ROWS.rename_columns(["k", "vv"]), ["new column 'vv'", "missing column 'v'"]),
    ],
)
@pytest.mark.parametrize("mode", ["append", "overwrite", "merge"])
def test_a_schema_that_does_not_fit_is_refused(catalog, held, data, texts, mode):
    catalog.write("main.a.t", ROWS)
    with pytest.raises(SchemaError) as caught:
        catalog.write("main.a.t", data, mode=mode, keys=["k"] if mode == "merge" else [])
    assert all(text in str(caught.value) for text in texts)
    assert held("main.a.t") == [(1, "a"), (2, "b")]


def test_evolve_adds_columns_and_fills_missing_ones(catalog, held):
    catalog.write("main.a.t", ROWS)
    catalog.write("main.a.t", pa.table({"k": [3], "w": [0.5]}), evolve=True)
    assert held("main.a.t") == [(1, "a", None), (2, "b", None), (3, None, 0.5)]


def test_evolve_in_a_merge_leaves_other_columns_as_they_are(catalog, held):
    catalog.write("main.a.t", ROWS, mode="merge", keys=["k"])
    catalog.write("main.a.t", pa.table({"k": [2, 3], "w": [0.5, 0.7]}), mode="merge", evolve=True)
    assert held("main.a.t") == [(1, "a", None), (2, "b", 0.5), (3, None, 0.7)]


def test_evolve_never_changes_a_type_nor_drops_a_key(catalog):
    catalog.write("main.a.t", ROWS, mode="merge", keys=["k"])
    with pytest.raises(SchemaError, match="the table has int64"):
        catalog.write("main.a.t", ROWS.set_column(0, "k", pa.array(["1", "2"])), mode="merge", evolve=True)
    with pytest.raises(SchemaError, match="missing column 'k'"):
        catalog.write("main.a.t", pa.table({"v": ["x"]}), mode="overwrite", evolve=True)


def test_columns_of_nulls_take_the_table_s_type(catalog, held):
    nothing = pa.table({"k": [1], "v": pa.nulls(1)})
    with pytest.raises(SchemaError, match="nothing but nulls"):
        catalog.write("main.a.t", nothing)
    assert not catalog.exists("main.a.t")
    catalog.write("main.a.t", ROWS)
    catalog.write("main.a.t", nothing)
    assert held("main.a.t") == [(1, "a"), (1, None), (2, "b")]


def test_a_value_that_does_not_fit_names_its_column(catalog, tmp_path):
    with pytest.raises(SchemaError, match="'n'"):
        catalog.write("main.a.t", pa.table({"n": pa.array([2**63], pa.uint64())}))
    assert not catalog.exists("main.a.t")
    assert not list(tmp_path.glob("tables/**/*.parquet"))


@pytest.mark.parametrize("data", [[{"k": 1}], 7, None, "main.a.t"])
def test_data_must_be_an_arrow_stream(catalog, data):
    with pytest.raises(SchemaError, match="Arrow stream"):
        catalog.write("main.a.t", data)


def test_a_commit_key_counts_once(catalog, held):
    for _ in range(3):
        refs = [
            catalog.write("main.a.t", rows((number, "x")), commit=CommitKey(writer="run", sequence=number))
            for number in range(3)
        ]
    assert held("main.a.t") == [(0, "x"), (1, "x"), (2, "x")]
    assert [ref.version for ref in refs] == [1, 2, 3]
    assert catalog.committed("main.a.t", "run") == 2
    assert catalog.committed("main.a.t", "other") == -1
    assert catalog.committed("main.a.never", "run") == -1


def test_a_repeated_write_does_not_even_read_its_rows(catalog):
    key = CommitKey(writer="run", sequence=0)
    catalog.write("main.a.t", ROWS, commit=key)
    reader = pa.RecordBatchReader.from_batches(ROWS.schema, iter(ROWS.to_batches()))
    catalog.write("main.a.t", reader, commit=key)
    assert reader.read_all() == ROWS


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_two_writers_with_one_commit_key_count_once(catalog, held, monkeypatch, mode):
    """The other commits the same key after this one has looked and written its files."""
    catalog.write("main.a.t", ROWS)
    key, keys = CommitKey(writer="run", sequence=0), ["k"] if mode == "merge" else []
    staged = Folder.stage

    def stage_then_lose_the_race(folder, *arguments):
        files = staged(folder, *arguments)
        with monkeypatch.context() as patch:
            patch.setattr(Folder, "stage", staged)
            catalog.write("main.a.t", rows((3, "c")), mode=mode, keys=keys, commit=key)
        return files

    monkeypatch.setattr(Folder, "stage", stage_then_lose_the_race)
    ref = catalog.write("main.a.t", rows((3, "c")), mode=mode, keys=keys, commit=key)
    assert (ref.version, held("main.a.t")) == (2, [(1, "a"), (2, "b"), (3, "c")])


def test_a_checkpoint_that_fails_does_not_fail_its_commit(catalog, held, monkeypatch, caplog):
    monkeypatch.setattr("lakemill.catalog.log.COMMITS_PER_CHECKPOINT", 2)
    location = catalog.write("main.a.t", rows((1, "a"))).location
    Path(location, "_delta_log", f"{2:020d}.checkpoint.parquet", "in the way").mkdir(parents=True)
    assert catalog.write("main.a.t", rows((2, "b"))).version == 2
    assert "no checkpoint of version 2" in caplog.text
    shutil.rmtree(Path(location, "_delta_log", f"{2:020d}.checkpoint.parquet"))
    assert held("main.a.t") == [(1, "a"), (2, "b")]


def test_a_repeated_commit_mends_the_lineage(catalog, held):
    """Killed between the commit and its entry in the lineage, then run again."""
    key = CommitKey(writer="run", sequence=0)
    ref = catalog.write("main.a.t", ROWS, commit=key)
    with catalog._database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM table_access")
    catalog.write("main.a.t", rows((8, "x")))
    assert catalog.write("main.a.t", ROWS, commit=key) == ref
    assert sorted(access.version for access in catalog.lineage("main.a.t")) == [1, 2]


def test_commit_keys_survive_checkpoints(catalog, held):
    for number in range(60):
        catalog.write("main.a.t", rows((number, "x")), commit=CommitKey(writer="run", sequence=number))
    assert list(Path(catalog.info("main.a.t").location).glob("_delta_log/*.checkpoint.parquet"))
    assert catalog.committed("main.a.t", "run") == 59
    catalog.write("main.a.t", rows((0, "y")), commit=CommitKey(writer="run", sequence=59))
    assert held("main.a.t") == sorted([(number, "x") for number in range(60)], key=repr)


def test_an_overwrite_keeps_nothing_of_a_concurrent_writer(catalog, held, monkeypatch):
    """The other's rows arrive between this writer's reading of the log and its commit.

    Without the compare-and-swap, delta-rs commits and keeps them: a table with a key twice.
    """
    catalog.write("main.a.t", rows((1, "a")), mode="merge", keys=["k"])
    opened, once = Log.open, []

    def open_then_lose_the_race(log, version=None):
        table = opened(log, version)
        if not once and os.environ.get("RACE"):
            once.append(True)
            catalog.write("main.a.t", rows((5, "theirs")), mode="merge")
        return table

    monkeypatch.setattr(Folder, "check_unique", lambda *_: monkeypatch.setenv("RACE", "1"))
    monkeypatch.setattr(Log, "open", open_then_lose_the_race)
    catalog.write("main.a.t", rows((5, "ours")), mode="overwrite")
    assert once
    assert held("main.a.t") == [(5, "ours")]


def test_a_writer_that_always_loses_says_so(catalog, monkeypatch):
    monkeypatch.setattr("lakemill.catalog.log.ATTEMPTS", 2)
    catalog.write("main.a.t", ROWS)
    opened = Log.open

    def lose(log, version=None):
        table = opened(log, version)
        with monkeypatch.context() as patch:
            patch.setattr(Log, "open", opened)
            catalog.write("main.a.t", ROWS)
        return table

    monkeypatch.setattr(Log, "open", lose)
    with pytest.raises(ConflictError, match="2 times"):
        catalog.write("main.a.t", ROWS)


def parquet(location: str, table: pa.Table, path: str = "part-x.parquet") -> DataFile:
    target = Path(location, path)
    target.parent.mkdir(exist_ok=True)
    pq.write_table(table, target)
    return DataFile(path=path, size_bytes=target.stat().st_size, num_rows=len(table))


def test_files_of_another_engine_become_part_in_one_commit(catalog, held):
    location = catalog.create_table("main.a.t", ROWS.schema).location
    files = [parquet(location, ROWS), parquet(location, rows((3, "c")), "spark-1/part-0.parquet")]
    key = CommitKey(writer="run", sequence=4)
    ref = catalog.commit_files("main.a.t", files, ROWS.schema, mode="append", commit=key)
    assert (ref.version, held("main.a.t")) == (1, [(1, "a"), (2, "b"), (3, "c")])
    assert catalog.history("main.a.t")[0].metrics == {"num_added_files": 2, "num_added_rows": 3}
    assert catalog.commit_files("main.a.t", files, ROWS.schema, mode="append", commit=key) == ref
    catalog.commit_files("main.a.t", [parquet(location, rows((9, "z")), "y.parquet")], ROWS.schema, mode="overwrite")
    assert held("main.a.t") == [(9, "z")]


def test_files_may_bring_new_columns_when_asked(catalog, held):
    location = catalog.write("main.a.t", ROWS).location
    wide = pa.table({"w": [1.5], "k": [3], "v": ["c"]})
    with pytest.raises(SchemaError, match="new column 'w'"):
        catalog.commit_files("main.a.t", [parquet(location, wide)], wide.schema, mode="append")
    catalog.commit_files("main.a.t", [parquet(location, wide)], wide.schema, mode="append", evolve=True)
    assert held("main.a.t") == [(1, "a", None), (2, "b", None), (3, "c", 1.5)]


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda file: file.unlink(), StorageError),
        (lambda file: file.write_bytes(b"not parquet"), StorageError),
        (lambda file: file.write_bytes(b"\0" * file.stat().st_size), StorageError),
        (lambda file: file.write_bytes(file.read_bytes()[:-9]), StorageError),
    ],
)
def test_a_file_that_is_not_what_it_claims_is_refused(catalog, held, spoil, error):
    location = catalog.write("main.a.t", ROWS).location
    file = parquet(location, ROWS)
    spoil(Path(location, file.path))
    with pytest.raises(error, match=r"part-x\.parquet"):
        catalog.commit_files("main.a.t", [file], ROWS.schema, mode="append")
    assert held("main.a.t") == [(1, "a"), (2, "b")]


def test_files_must_hold_the_rows_and_columns_that_were_said(catalog):
    location = catalog.write("main.a.t", ROWS.append_column("at", pa.array([datetime.now(UTC)] * 2))).location
    schema = catalog._log(catalog.info("main.a.t")).schema()
    naive = ROWS.append_column("at", pa.array([datetime(2026, 1, 1)] * 2, pa.timestamp("us")))  # noqa: DTZ001
    for table in (ROWS, naive):
        with pytest.raises(SchemaError, match="expected"):
            catalog.commit_files("main.a.t", [parquet(location, table)], schema, mode="append")
    good = parquet(location, naive.cast(schema))
    with pytest.raises(StorageError, match="7 rows expected, 2 found"):
        catalog.commit_files(
            "main.a.t",
            [DataFile(path=good.path, size_bytes=good.size_bytes, num_rows=7)],
            schema,
            mode="append",
        )
    for path in ("/etc/passwd", "../t/part-x.parquet"):
        with pytest.raises(StorageError, match="relative"):
            catalog.commit_files("main.a.t", [DataFile(path=path, size_bytes=1, num_rows=1)], schema, mode="append")
    with pytest.raises(NotFoundError):
        catalog.commit_files("main.a.u", [good], schema, mode="append")


def test_files_in_a_table_with_primary_keys_are_checked_too(catalog, held):
    location = catalog.write("main.a.t", ROWS, mode="merge", keys=["k"]).location
    with pytest.raises(ConfigError, match="primary keys"):
        catalog.commit_files("main.a.t", [parquet(location, rows((5, "x")))], ROWS.schema, mode="append")
    twice = [parquet(location, rows((5, "x"))), parquet(location, rows((5, "y")), "other.parquet")]
    with pytest.raises(DuplicateKeyError, match="k=5"):
        catalog.commit_files("main.a.t", twice, ROWS.schema, mode="overwrite")
    with pytest.raises(SchemaError, match="may not be null"):
        catalog.commit_files("main.a.t", [parquet(location, rows((None, "x")))], ROWS.schema, mode="overwrite")
    assert held("main.a.t") == [(1, "a"), (2, "b")]


def test_many_small_batches_become_few_row_groups(catalog):
    batches = pa.RecordBatchReader.from_batches(ROWS.schema, (batch for _ in range(500) for batch in ROWS.to_batches()))
    location = catalog.write("main.a.t", batches).location
    (file,) = Path(location).glob("*.parquet")
    assert (pq.read_metadata(file).num_rows, pq.read_metadata(file).num_row_groups) == (1000, 1)


def test_large_data_is_cut_into_files(catalog, held, monkeypatch):
    monkeypatch.setattr("lakemill.catalog.files.FILE_BYTES", 1)
    monkeypatch.setattr("lakemill.catalog.files.ROW_GROUP_ROWS", 2)
    table = rows(*((number, "x") for number in range(6)))
    location = catalog.write("main.a.t", table.to_reader(max_chunksize=2)).location
    assert len(files_of(location)) == 3
    assert len(held("main.a.t")) == 6


def test_a_stream_that_breaks_leaves_nothing_behind(catalog, held):
    location = catalog.write("main.a.t", ROWS).location
    before = files_of(location)

    def broken():
        yield from ROWS.to_batches()
        raise OSError("the source went away")

    with pytest.raises(StorageError, match=r"rows to write cannot be read.*went away"):
        catalog.write("main.a.t", pa.RecordBatchReader.from_batches(ROWS.schema, broken()))
    assert files_of(location) == before
    assert held("main.a.t") == [(1, "a"), (2, "b")]


SCRIPT = """
import resource, sys
import numpy as np, pyarrow as pa
from lakemill.catalog import Catalog
from lakemill.core.records import Context
from lakemill.metadata import Database
root, batches = sys.argv[1], int(sys.argv[2])
catalog = Catalog(root=root, database=Database(f"sqlite:///{root}/metadata.db"), context=Context(user="ann"))
one = pa.record_batch({"k": np.random.default_rng(0).random(500_000)})
catalog.write("main.a.t", pa.RecordBatchReader.from_batches(one.schema, (one for _ in range(batches))))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_a_stream_never_lies_in_memory_as_a_whole(tmp_path):
    """400 MB pass through; they must not add to the peak of a writer of 40 MB more than a few row groups."""
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", SCRIPT, str(tmp_path / str(batches)), str(batches)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for batches in (10, 100)
    ]
    assert peaks[1] - peaks[0] < 100
