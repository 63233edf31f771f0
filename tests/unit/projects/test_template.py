from __future__ import annotations

from pathlib import Path

import pytest

from lakemill.core.errors import AlreadyExistsError, NotFoundError, StorageError
from lakemill.projects import init_project, template


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch):
    source = tmp_path / "templates" / "small"
    (source / "data" / "__pycache__").mkdir(parents=True)
    (source / "data" / "__pycache__" / "x.pyc").touch()
    (source / ".lakemill").mkdir()
    (source / ".lakemill" / "metadata.db").touch()
    (source / "lakemill.yml").write_text("bundle: {name: small}\n")
    (source / "data" / "lines.csv").write_text("a,b\n")
    (tmp_path / "templates" / "notes").mkdir()
    monkeypatch.setattr(template, "TEMPLATES", tmp_path / "templates")


def test_a_template_is_copied_without_what_a_run_leaves(tmp_path):
    file = init_project(tmp_path / "new" / "demo", "small")
    assert file == tmp_path / "new" / "demo" / "lakemill.yml"
    copied = {str(path.relative_to(file.parent)) for path in file.parent.rglob("*") if path.is_file()}
    assert copied == {"lakemill.yml", "data/lines.csv"}
    assert (file.parent / "data" / "lines.csv").read_text() == "a,b\n"


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "demo" / "data").mkdir(parents=True)
    (tmp_path / "demo" / "data" / "lines.csv").write_text("mine\n")
    with pytest.raises(AlreadyExistsError, match=r"demo/data/lines\.csv is there already"):
        init_project(tmp_path / "demo", "small")
    assert [path.name for path in (tmp_path / "demo").rglob("*") if path.is_file()] == ["lines.csv"]
    assert (tmp_path / "demo" / "data" / "lines.csv").read_text() == "mine\n"


def test_other_files_of_the_folder_stay(tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "notes.md").write_text("mine\n")
    init_project(tmp_path / "demo", "small")
    assert (tmp_path / "demo" / "notes.md").read_text() == "mine\n"


def test_a_template_that_is_not_there_is_named(tmp_path):
    with pytest.raises(NotFoundError, match=r"no template 'smal'\n  hint: did you mean small\?"):
        init_project(tmp_path / "demo", "smal")


def test_a_place_that_is_no_folder_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write the project into"):
        init_project(tmp_path / "file", "small")
