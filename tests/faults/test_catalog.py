"""Killed writers, racing writers, full disks, read-only folders: tables stay whole."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import shutil
import signal
import tempfile
from pathlib import Path

import deltalake
import polars as pl
import pyarrow as pa
import pytest

from lakemill.catalog import Catalog, CommitKey
from lakemill.core.errors import StorageError
from lakemill.core.records import Context
from lakemill.metadata import Database

SPAWN = multiprocessing.get_context("spawn")
SCHEMA = pa.schema([("k", pa.int64()), ("v", pa.string())])


def open_catalog(root: Path, user: str = "ann") -> Catalog:
    database = Database(f"sqlite:///{root}/metadata.db")
    return Catalog(root=str(root / "tables"), database=database, context=Context(user=user, run_id=user))


def rows(*keys: int, value: str = "x") -> pa.Table:
    return pa.table({"k": list(keys), "v": [value] * len(keys)}, schema=SCHEMA)


def held(catalog: Catalog, name: str = "main.a.t") -> pl.DataFrame:
    return pl.DataFrame(deltalake.DeltaTable(catalog.info(name).location).scan())


def _append(root: Path, number: int, commits: int) -> None:
    catalog = open_catalog(root, f"writer-{number}")
    for index in range(commits):
        catalog.write("main.a.t", rows(number * 1000 + index))


def _merge(root: Path, number: int, commits: int) -> None:
    """Each merge updates the key that all share and inserts one of its own."""
    catalog = open_catalog(root, f"writer-{number}")
    for index in range(commits):
        catalog.write("main.a.t", rows(0, number * 1000 + index, value=f"{number}"), mode="merge", keys=["k"])


@pytest.mark.parametrize(("work", "commits", "shared"), [(_append, 25, []), (_merge, 10, [0])])
def test_what_racing_processes_write_is_all_there(tmp_path, work, commits, shared):
    """Both also make the workspace and the table at the same moment."""
    children = [SPAWN.Process(target=work, args=(tmp_path, number, commits)) for number in (1, 2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    catalog = open_catalog(tmp_path)
    expected = shared + [number * 1000 + index for number in (1, 2) for index in range(commits)]
    assert sorted(held(catalog)["k"]) == sorted(expected)
    written = [access.version for access in catalog.lineage("main.a.t") if access.kind == "write"]
    assert sorted(written) == list(range(1, 2 * commits + 1))


def _sequence(root: Path, commits: int) -> None:
    tempfile.tempdir = str(root)  # the killed leave their temporary files
    catalog = open_catalog(root)
    for number in range(commits):
        key = CommitKey(writer="run", sequence=number)
        catalog.write("main.a.appended", rows(number), commit=key)
        catalog.write("main.a.merged", rows(number, 10_000 + number), mode="merge", keys=["k"], commit=key)


def test_killed_at_any_instant_and_repeated_every_row_is_there_once(tmp_path):
    commits, kills = 40, 0
    instants = random.Random(0)
    while True:
        child = SPAWN.Process(target=_sequence, args=(tmp_path, commits))
        child.start()
        child.join(timeout=instants.uniform(0.5, 1.2) if kills < 6 else None)
        if child.exitcode == 0:
            break
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        kills += 1
    catalog = open_catalog(tmp_path)
    assert kills == 6
    assert sorted(held(catalog, "main.a.appended")["k"]) == list(range(commits))
    assert sorted(held(catalog, "main.a.merged")["k"]) == sorted([*range(commits), *range(10_000, 10_000 + commits)])
    for name in ("main.a.appended", "main.a.merged"):
        written = {access.version for access in catalog.lineage(name)}
        assert written == {commit.version for commit in catalog.history(name) if commit.operation != "CREATE TABLE"}


class Killed(BaseException):
    """Stands for a SIGKILL at an exact place: nothing below may handle it."""


def _die(*_: object, **__: object) -> None:
    raise Killed


@pytest.mark.parametrize("mode", ["append", "merge"])
@pytest.mark.parametrize("place", ["lakemill.catalog.log.Log.commit", "lakemill.catalog.entries.Entries.record_access"])
def test_a_death_between_file_and_commit_or_commit_and_lineage_is_mended(tmp_path, monkeypatch, mode, place):
    catalog, key = open_catalog(tmp_path), CommitKey(writer="run", sequence=0)
    write = {"mode": mode, "keys": ["k"] if mode == "merge" else [], "commit": key}
    with monkeypatch.context() as patch:
        patch.setattr(place, _die)
        with pytest.raises(Killed):
            catalog.write("main.a.t", rows(1, 2), **write)
    catalog.write("main.a.t", rows(1, 2), **write)
    assert sorted(held(catalog)["k"]) == [1, 2]
    assert [access.version for access in catalog.lineage("main.a.t")] == [1]


def big() -> pa.Table:
    return pa.table({"k": pa.array(range(300_000)), "v": [str(hash(str(i))) for i in range(300_000)]}, schema=SCHEMA)


def _fill_up(root: Path, results) -> None:
    """A limit on file sizes is what a full disk is: a write that ends half-way."""
    catalog, data, faults = open_catalog(root), big(), []
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
    for mode in ("append", "overwrite", "merge"):
        try:
            catalog.write("main.a.t", data, mode=mode, keys=["k"] if mode == "merge" else [])
        except StorageError as error:
            faults.append((error.message, error.hint))
    results.put((faults, sorted(path.name for path in Path(catalog.info("main.a.t").location).glob("*.parquet"))))


def test_a_disk_that_fills_up_leaves_the_table_whole(tmp_path):
    location = open_catalog(tmp_path).write("main.a.t", rows(1, 2)).location
    before = sorted(path.name for path in Path(location).glob("*.parquet"))
    faults, after = in_child(_fill_up, tmp_path)
    assert after == before
    assert len(faults) == 3
    assert all("too large" in message.lower() and "quota" in hint for message, hint in faults)
    catalog = open_catalog(tmp_path)
    assert sorted(held(catalog)["k"]) == [1, 2]
    catalog.write("main.a.t", big())
    assert len(held(catalog)) == 300_002


def _drop_privileges() -> None:
    """Become a user whom file modes hold back; who may not read the interpreter's modules either, so load them first."""
    with tempfile.TemporaryDirectory() as folder:
        open_catalog(Path(folder)).write("main.a.t", rows(1), mode="merge", keys=["k"])
    if os.getuid() == 0:
        os.setgroups([])
        os.setresuid(65534, 65534, 65534)


def _hints(attempts) -> list[str]:
    found = []
    for attempt in attempts:
        try:
            attempt()
        except StorageError as error:
            found.append(error.hint)
    return found


def _write_where_one_may_not(root: Path, results) -> None:
    _drop_privileges()
    catalog = open_catalog(root)
    hints = _hints(
        [
            lambda: catalog.write("main.a.t", rows(3)),
            lambda: catalog.write("main.a.t", rows(1), mode="merge", keys=["k"]),
            lambda: catalog.create_table("main.a.u", SCHEMA),
        ]
    )
    results.put((hints, catalog.ref("main.a.t").version, catalog.exists("main.a.u")))


def _comment_where_one_may_not(root: Path, results) -> None:
    _drop_privileges()
    catalog = open_catalog(root)
    results.put((_hints([lambda: catalog.comment("main.a.t", "mine")]), catalog.info("main.a.t").comment))


def in_child(work, root: Path):
    results = SPAWN.Queue()
    child = SPAWN.Process(target=work, args=(root, results))
    child.start()
    child.join(timeout=60)
    assert child.exitcode == 0
    return results.get(timeout=5)


@pytest.fixture
def shared_path(tmp_path):
    """A folder that any user may reach; pytest's own are private."""
    path = Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp", f"lakemill-{os.getpid()}-{tmp_path.name}")
    path.mkdir()
    yield path
    for folder in [path, *path.rglob("*")]:
        if folder.is_dir():
            folder.chmod(0o755)
    shutil.rmtree(path)


def test_a_read_only_folder_is_a_storage_error_and_the_table_stays(shared_path):
    open_catalog(shared_path).write("main.a.t", rows(1, 2))
    shared_path.chmod(0o777)
    for file in shared_path.glob("metadata.db*"):
        file.chmod(0o666)
    for folder in [path for path in (shared_path / "tables").rglob("*") if path.is_dir()]:
        folder.chmod(0o555)
    assert in_child(_write_where_one_may_not, shared_path) == (["make the folder writable for this user"] * 3, 1, False)
    assert sorted(held(open_catalog(shared_path))["k"]) == [1, 2]


def test_read_only_metadata_is_a_storage_error(shared_path):
    open_catalog(shared_path).write("main.a.t", rows(1, 2))
    for file in shared_path.glob("metadata.db*"):
        file.chmod(0o444)
    shared_path.chmod(0o555)
    hint = "make the file and its folder writable for this user"
    assert in_child(_comment_where_one_may_not, shared_path) == ([hint], "")


def test_a_damaged_data_file_is_named(tmp_path):
    catalog = open_catalog(tmp_path)
    location = catalog.write("main.a.t", rows(1, 2)).location
    (file,) = Path(location).glob("*.parquet")
    file.write_bytes(b"not parquet")
    with pytest.raises(StorageError, match=file.stem) as caught:
        catalog.write("main.a.t", rows(1), mode="merge", keys=["k"])
    assert "isn't Parquet" in caught.value.hint
    assert catalog.ref("main.a.t").version == 1


def test_a_damaged_log_is_named(tmp_path):
    catalog = open_catalog(tmp_path)
    location = catalog.write("main.a.t", rows(1, 2)).location
    Path(location, "_delta_log", f"{1:020d}.json").write_text("torn")
    with pytest.raises(StorageError, match=r"main\.a\.t") as caught:
        catalog.ref("main.a.t")
    assert "_delta_log" in caught.value.hint
    assert "<unknown>" not in caught.value.message


def test_a_lost_folder_is_a_storage_error(tmp_path):
    catalog = open_catalog(tmp_path)
    shutil.rmtree(catalog.write("main.a.t", rows(1, 2)).location)
    with pytest.raises(StorageError, match=r"main\.a\.t"):
        catalog.ref("main.a.t")
    catalog.drop_table("main.a.t")
    assert not catalog.exists("main.a.t")
