from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from lakemill.catalog import Access
from lakemill.core.errors import (
    AlreadyExistsError,
    ConfigError,
    NotFoundError,
    SchemaError,
    StorageError,
    UnsupportedError,
)
from lakemill.core.records import Column

SCHEMA = pa.schema([("product", pa.string()), ("day", pa.date32()), ("quantity", pa.int64())])
ROWS = pa.table({"k": [1, 2]})


def test_a_new_table_is_empty_and_says_what_it_was_told(catalog, held, tmp_path):
    ref = catalog.create_table(
        "main.retail.demand",
        SCHEMA,
        primary_keys=["product", "day"],
        timeseries_column="day",
        comment="one row per product and day",
        tags={"owner": "ann"},
    )
    assert ref.version == 0
    assert ref.location == f"{tmp_path}/tables/main/retail/demand"
    assert ref.columns == (
        Column(name="product", type="string", nullable=False),
        Column(name="day", type="date32[day]", nullable=False),
        Column(name="quantity", type="int64", nullable=True),
    )
    info = catalog.info("main.retail.demand")
    assert (info.primary_keys, info.timeseries_column) == (("product", "day"), "day")
    assert (info.comment, info.tags, info.created_by) == ("one row per product and day", {"owner": "ann"}, "ann")
    assert abs(info.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert held("main.retail.demand") == []


def test_a_name_is_taken_once(catalog):
    catalog.create_table("main.a.t", SCHEMA)
    with pytest.raises(AlreadyExistsError, match=r"main\.a\.t"):
        catalog.create_table("main.a.t", SCHEMA)


def test_keys_and_time_must_be_columns(catalog):
    with pytest.raises(SchemaError, match="prodct") as caught:
        catalog.create_table("main.a.t", SCHEMA, primary_keys=["prodct"])
    assert "product" in caught.value.hint
    with pytest.raises(SchemaError, match="dya"):
        catalog.create_table("main.a.t", SCHEMA, timeseries_column="dya")
    assert not catalog.exists("main.a.t")


def test_missing_tables_name_the_nearest(catalog):
    catalog.create_table("main.retail.sales", SCHEMA)
    for ask in (catalog.ref, catalog.info, catalog.history, catalog.lineage, catalog.drop_table):
        with pytest.raises(NotFoundError, match=r"main\.retail\.sale$|main\.retail\.sale\n") as caught:
            ask("main.retail.sale")
        assert caught.value.hint == "did you mean main.retail.sales?"


def test_tables_are_listed_by_prefix(catalog):
    for name in ("main.b.t", "main.a.t", "main.a_b.t"):
        catalog.create_table(name, SCHEMA)
    assert [info.name for info in catalog.tables()] == ["main.a.t", "main.a_b.t", "main.b.t"]
    assert [info.name for info in catalog.tables("main.a_")] == ["main.a_b.t"]


def test_comments_and_tags_are_changed_one_by_one(catalog):
    catalog.create_table("main.a.t", SCHEMA, tags={"owner": "ann", "tier": "gold"})
    catalog.comment("main.a.t", "sales")
    catalog.tag("main.a.t", owner="bob", source="shop")
    assert catalog.info("main.a.t").comment == "sales"
    assert catalog.info("main.a.t").tags == {"owner": "bob", "tier": "gold", "source": "shop"}


def test_a_dropped_table_leaves_nothing(catalog, tmp_path):
    catalog.write("main.a.t", ROWS)
    catalog.tag("main.a.t", owner="ann")
    catalog.drop_table("main.a.t")
    assert not catalog.exists("main.a.t")
    assert not (tmp_path / "tables/main/a/t").exists()
    catalog.write("main.a.t", pa.table({"other": ["x"]}))
    assert catalog.info("main.a.t").tags == {}
    assert [access.version for access in catalog.lineage("main.a.t")] == [1]


def test_a_drop_that_was_interrupted_can_be_repeated(catalog, tmp_path):
    catalog.write("main.a.t", ROWS)
    (tmp_path / "tables/main/a/t/_delta_log/00000000000000000000.json").unlink()
    catalog.drop_table("main.a.t")
    assert not catalog.exists("main.a.t")


def test_versions_and_instants_are_read_back(catalog, held):
    first = catalog.write("main.a.t", ROWS)
    second = catalog.write("main.a.t", pa.table({"k": [3]}))
    assert (first.version, second.version) == (1, 2)
    assert held("main.a.t", first.version) == [(1,), (2,)]
    commits = catalog.history("main.a.t")
    assert [commit.version for commit in commits] == [2, 1, 0]
    for commit in commits:
        assert catalog.ref("main.a.t", at=commit.timestamp).version == commit.version
    assert catalog.ref("main.a.t", at=datetime.now(UTC) + timedelta(days=1)).version == 2
    assert catalog.ref("main.a.t", version=1) == first
    assert catalog.ref("main.a.t") == second


def test_a_version_keeps_its_own_columns(catalog):
    old = catalog.write("main.a.t", ROWS)
    new = catalog.write("main.a.t", ROWS.append_column("v", pa.array([0.5, 0.5])), evolve=True)
    assert catalog.ref("main.a.t", version=old.version).column_names == ("k",)
    assert new.column_names == ("k", "v")


@pytest.mark.parametrize("version", [-1, 2, 99])
def test_versions_that_never_were_are_refused(catalog, version):
    catalog.write("main.a.t", ROWS)
    with pytest.raises(NotFoundError, match=f"no version {version}") as caught:
        catalog.ref("main.a.t", version=version)
    assert "0 to 1" in caught.value.hint


def test_instants_before_the_table_are_refused(catalog):
    catalog.write("main.a.t", ROWS)
    with pytest.raises(NotFoundError, match="its first is of"):
        catalog.ref("main.a.t", at=datetime(2000, 1, 1, tzinfo=UTC))
    with pytest.raises(ConfigError, match="time zone"):
        catalog.ref("main.a.t", at=datetime(2000, 1, 1))  # noqa: DTZ001
    with pytest.raises(ConfigError, match="time zone"):
        catalog.ref("main.a.t", version=1, at=datetime.now(UTC))


def test_history_names_user_run_and_figures(catalog, open_catalog):
    catalog.write("main.a.t", ROWS)
    open_catalog(user="bob", run_id="run-2").write("main.a.t", pa.table({"k": [2, 3]}), mode="merge", keys=["k"])
    merge, write, create = catalog.history("main.a.t")
    assert (create.operation, create.user, create.run_id) == ("CREATE TABLE", "ann", "run-1")
    assert (write.operation, write.metrics["num_added_rows"], write.metrics["num_added_files"]) == ("WRITE", 2, 1)
    assert (merge.operation, merge.user, merge.run_id) == ("MERGE", "bob", "run-2")
    assert merge.metrics["num_target_rows_updated"] == 1
    assert merge.metrics["num_target_rows_inserted"] == 1


def test_lineage_names_who_read_and_wrote_which_version(catalog, open_catalog):
    ref = catalog.write("main.a.t", ROWS)
    reader = open_catalog(user="bob", run_id="run-2", task_key="train")
    reader.record_read(ref)
    reader.record_read(ref)
    found = catalog.lineage("main.a.t")
    assert [(access.kind, access.version, access.run_id, access.task_key, access.user) for access in found] == [
        ("write", 1, "run-1", "ingest", "ann"),
        ("read", 1, "run-2", "train", "bob"),
    ]
    assert all(isinstance(access, Access) and access.table == "main.a.t" for access in found)


def test_a_folder_in_the_way_is_not_taken_over(catalog, open_catalog, tmp_path):
    """The metadata is lost, the data is not: nothing may be written over it."""
    location = catalog.write("main.a.t", ROWS).location
    for file in tmp_path.glob("metadata.db*"):
        file.unlink()
    fresh = open_catalog()
    for attempt in (lambda: fresh.create_table("main.a.t", SCHEMA), lambda: fresh.write("main.a.t", ROWS)):
        with pytest.raises(AlreadyExistsError, match="does not know") as caught:
            attempt()
        assert "move the folder" in caught.value.hint
    assert location
    assert not fresh.exists("main.a.t")


def test_the_empty_remains_of_a_killed_creation_are_replaced(catalog, tmp_path, held):
    import deltalake

    deltalake.DeltaTable.create(f"{tmp_path}/tables/main/a/t", pa.schema([("other", pa.string())]))
    catalog.write("main.a.t", ROWS)
    assert held("main.a.t") == [(1,), (2,)]


def test_a_root_that_cannot_be_a_folder_is_a_storage_error(open_catalog, tmp_path):
    (tmp_path / "tables").write_text("in the way")
    with pytest.raises(StorageError) as caught:
        open_catalog().create_table("main.a.t", SCHEMA)
    assert "in the way" in caught.value.hint
    assert not open_catalog().exists("main.a.t")


def test_a_table_that_readers_would_misread_is_refused(catalog, tmp_path):
    import deltalake

    location = catalog.write("main.a.t", ROWS).location
    table = deltalake.DeltaTable(location)
    table.alter.add_feature(deltalake.TableFeatures.DeletionVectors, allow_protocol_versions_increase=True)
    with pytest.raises(UnsupportedError, match="deletionVectors"):
        catalog.ref("main.a.t")


@pytest.mark.parametrize("folder", ["my data", "Ümlaut", "a#b", "a[1]*b"])
def test_folders_may_have_any_name(open_catalog, tmp_path, folder):
    catalog = open_catalog()
    catalog.root = str(tmp_path / folder)
    catalog.write("main.a.t", ROWS)
    catalog.write("main.a.t", pa.table({"k": [2, 3]}), mode="merge", keys=["k"])
    assert list((tmp_path / folder / "main/a/t").glob("*.parquet"))
    assert [access.version for access in catalog.lineage("main.a.t")] == [1, 2]
    catalog.drop_table("main.a.t")
    assert not (tmp_path / folder / "main/a/t").exists()
