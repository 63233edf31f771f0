from __future__ import annotations

from pathlib import Path

import pytest

from lakemill.training.many.staging import Finished, Spool, Staging


def finished(key: str, text: str = "") -> Finished:
    return Finished(key=(key,), rows={"models": (text or key).encode() * 50})


def fill(folder: Path, *results: Finished) -> Path:
    spool = Spool(folder, 7)
    for result in results:
        spool.add(result)
    spool.close()
    (path,) = folder.iterdir()
    return path


def test_every_torn_tail_is_ignored_and_done_again(tmp_path: Path):
    whole = fill(tmp_path / "whole", *map(finished, "abc")).read_bytes()
    two = fill(tmp_path / "two", *map(finished, "ab")).stat().st_size
    for length in range(two, len(whole)):
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / "000007-0").write_bytes(whole[:length])
        spool = Spool(folder, 7)
        assert set(spool.finished) == {("a",), ("b",)}
        spool.add(finished("c"))
        assert list(spool.finished.values()) == [finished("a"), finished("b"), finished("c")]
        spool.close()


def test_attempts_that_overlap_give_each_group_once(tmp_path: Path):
    """An attempt that was given up may still be alive on a machine that cannot be reached."""
    given_up, second = Spool(tmp_path, 7), Spool(tmp_path, 7)
    given_up.add(finished("a", "first"))
    second.add(finished("a", "second"))
    given_up.add(finished("b"))
    third = Spool(tmp_path, 7)
    assert set(third.finished) == {("a",), ("b",)}
    third.add(finished("c"))
    assert set(third.finished) == {("a",), ("b",), ("c",)}
    assert third.finished["b",] == finished("b")
    for spool in (given_up, second, third):
        spool.close()


def test_a_spool_goes_with_its_pack(tmp_path: Path):
    staging = Staging(tmp_path)
    with pytest.raises(RuntimeError), staging.spool("fit", 3) as spool:  # noqa: PT012  the body is what fails
        spool.add(finished("a"))
        raise RuntimeError
    with staging.spool("fit", 30) as other, staging.spool("fit", 3) as spool:
        assert set(spool.finished) == {("a",)}
        assert not other.finished
    with staging.spool("fit", 3) as spool:
        assert not spool.finished
    assert list((tmp_path / "spools" / "fit").iterdir()) == []


def test_a_pack_is_finished_only_when_its_folder_has_its_name(tmp_path: Path):
    staging = Staging(tmp_path)
    with pytest.raises(RuntimeError), staging.finishing("fit", 3) as folder:  # noqa: PT012  the body is what fails
        (folder / "models.arrows").write_text("half")
        assert staging.finished_packs("fit") == set()
        raise RuntimeError
    assert staging.finished_packs("fit") == set()
    for text in ("first", "second"):
        with staging.finishing("fit", 3) as folder:
            (folder / "models.arrows").write_text(text)
    assert staging.finished_packs("fit") == {3}
    assert (staging.result("fit", 3) / "models.arrows").read_text() == "first"


def test_promises_come_back_in_order(tmp_path: Path):
    staging = Staging(tmp_path)
    assert staging.promises("fit") == []
    for sequence, packs in enumerate([[1, 4], [2], [3, 5]]):
        staging.promise("fit", sequence, packs)
    assert staging.promises("fit") == [[1, 4], [2], [3, 5]]
