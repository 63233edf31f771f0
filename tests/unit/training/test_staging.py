from __future__ import annotations

from pathlib import Path

import pytest

from lakemill.training.many.staging import Finished, Spool, Staging


def fill(path: Path, keys) -> bytes:
    spool = Spool(path)
    for key in keys:
        spool.add(Finished(key=(key,), rows={"models": {"model": key.encode() * 50}}))
    spool.close()
    return path.read_bytes()


def test_every_torn_tail_is_ignored_and_overwritten(tmp_path: Path):
    whole = fill(tmp_path / "whole", "abc")
    two = len(fill(tmp_path / "two", "ab"))
    for length in range(two, len(whole)):
        torn = tmp_path / "torn"
        torn.write_bytes(whole[:length])
        spool = Spool(torn)
        assert spool.done == {("a",), ("b",)}
        spool.add(Finished(key=("c",), rows={"models": {"model": b"c" * 50}}))
        spool.close()
        assert torn.read_bytes() == whole


def test_a_pack_is_finished_only_when_its_folder_has_its_name(tmp_path: Path):
    staging = Staging(tmp_path)
    with pytest.raises(RuntimeError), staging.finishing("fit", 3) as folder:
        (folder / "models.parquet").write_text("half")
        assert staging.finished_packs("fit") == set()
        raise RuntimeError
    assert staging.finished_packs("fit") == set()
    for text in ("first", "second"):
        with staging.finishing("fit", 3) as folder:
            (folder / "models.parquet").write_text(text)
    assert staging.finished_packs("fit") == {3}
    assert (staging.result("fit", 3) / "models.parquet").read_text() == "first"


def test_promises_come_back_in_order(tmp_path: Path):
    staging = Staging(tmp_path)
    assert staging.promises("fit") == []
    for sequence, packs in enumerate([[1, 4], [2], [3, 5]]):
        staging.promise("fit", sequence, packs)
    assert staging.promises("fit") == [[1, 4], [2], [3, 5]]
