"""The committer after crashes; each of its guards is taken away once, and its absence shows."""

from __future__ import annotations

import contextlib

import deltalake
import pyarrow as pa
import pytest

from lakemill.catalog import Catalog
from lakemill.training.many import staging as staging_module
from lakemill.training.many.commit import Committer
from lakemill.training.many.groups import Phase
from lakemill.training.many.rows import SUFFIX, write_rows
from lakemill.training.many.staging import Finished, Spool, Staging

TABLES = {"models": "main.a.models", "failures": "main.a.failures"}
PHASE = Phase(
    name="fit",
    by=("k",),
    parts={"rows": Staging.part("rows")},
    fn=dict,
    outputs={"models": pa.schema([("model", pa.string())])},
)


class Killed(BaseException):
    """Stands for a SIGKILL at an exact place: nothing below may handle it."""


@pytest.fixture
def staging(tmp_path):
    return Staging(tmp_path / "staging")


def finish(staging: Staging, *packs: int) -> None:
    for pack in packs:
        staging.pack_file("rows", pack).parent.mkdir(parents=True, exist_ok=True)
        write_rows(staging.pack_file("rows", pack), pa.table({"k": [pack]}))
        with staging.finishing("fit", pack) as folder:
            write_rows(folder / f"models{SUFFIX}", pa.table({"k": [pack], "model": [f"m{pack}"]}))


def committer(catalog: Catalog, staging: Staging) -> Committer:
    return Committer(catalog, staging, PHASE, tables=TABLES, training="t1")


def first_batch(catalog: Catalog, staging: Staging) -> None:
    """Commit packs 0 and 1."""
    finish(staging, 0, 1)
    first = committer(catalog, staging)
    first.recover()
    first.flush()


def rest(catalog: Catalog, staging: Staging) -> list[int]:
    """Take over, commit what is left, and return the packs in the table."""
    then = committer(catalog, staging)
    then.recover()
    then.flush()
    return sorted(row["k"] for row in catalog_rows(catalog))


def catalog_rows(catalog: Catalog) -> list[dict[str, object]]:
    return pa.table(deltalake.DeltaTable(catalog.ref(TABLES["models"]).location).scan()).to_pylist()


def die(*_: object, **__: object) -> None:
    raise Killed


def test_every_pack_is_there_once_whoever_commits_it(catalog, staging):
    first_batch(catalog, staging)
    finish(staging, 2, 3)
    assert rest(catalog, staging) == rest(catalog, staging) == [0, 1, 2, 3]


@pytest.mark.parametrize("place", ["exists", "write"])
def test_killed_between_promise_and_commit(catalog, staging, monkeypatch, place):
    with monkeypatch.context() as patch:
        patch.setattr(Catalog, place, die)
        with pytest.raises(Killed):
            first_batch(catalog, staging)
    finish(staging, 2)
    assert rest(catalog, staging) == [0, 1, 2]


def killed_after_the_first_table(catalog: Catalog, staging: Staging, patch: pytest.MonkeyPatch) -> None:
    write = Catalog.write

    def once(self, name, data, **options):
        if name == TABLES["failures"]:
            raise Killed
        return write(self, name, data, **options)

    patch.setattr(Catalog, "write", once)
    with pytest.raises(Killed):
        first_batch(catalog, staging)


def test_killed_between_the_commits_of_two_tables(catalog, staging, monkeypatch):
    with monkeypatch.context() as patch:
        killed_after_the_first_table(catalog, staging, patch)
    finish(staging, 2)
    assert rest(catalog, staging) == [0, 1, 2]


def test_without_the_commit_key_a_batch_is_there_twice(catalog, staging, monkeypatch):
    with monkeypatch.context() as patch:
        killed_after_the_first_table(catalog, staging, patch)
    write = Catalog.write
    monkeypatch.setattr(Catalog, "committed", lambda *_: -1)
    monkeypatch.setattr(Catalog, "write", lambda self, name, data, *, mode, **_: write(self, name, data, mode=mode))
    assert rest(catalog, staging) == [0, 0, 1, 1]


def test_without_the_promise_packs_are_lost(catalog, staging, monkeypatch):
    """Whoever comes next cannot know which packs the killed commit held, and takes others for committed."""
    with monkeypatch.context() as patch:
        patch.setattr(Staging, "promise", lambda *_: None)
        killed_after_the_first_table(catalog, staging, patch)
    finish(staging, 2)
    assert rest(catalog, staging) == [0, 1]


def test_without_the_guard_of_torn_spools_an_attempt_ends_in_one(tmp_path, monkeypatch):
    spool = Spool(tmp_path, 0)
    spool.add(Finished(key=("a",), rows={"models": b"m" * 100}))
    spool.close()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-20])
    with contextlib.closing(Spool(tmp_path, 0)) as again:
        assert again.finished == {}
    monkeypatch.setattr(staging_module, "suppress", lambda *_: contextlib.nullcontext())
    with pytest.raises((EOFError, staging_module.pickle.UnpicklingError)):
        Spool(tmp_path, 0)
