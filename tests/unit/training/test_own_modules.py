"""Models of the same names from different projects, in one process."""

from __future__ import annotations

import importlib
import json
import pickle
import subprocess
import sys

import pytest

from lakemill.training.many.own_modules import OwnModules

HELPERS = "FACTOR = {factor}\n"
STEPS = """
from orchard import FACTOR

class Level:
    class Inner:
        pass
    def __init__(self, level):
        self.level = level
        self.inner = Level.Inner()
    def predict(self):
        return FACTOR * self.level
"""
MAKE = "import pickle, sys, {module} as m; sys.stdout.buffer.write(pickle.dumps(m.Level(2)))"


def written(folder, factor, *, package=False):
    """Write a project and return a pickle of its model, made in a process of its own."""
    home = folder / "forest" if package else folder
    home.mkdir(parents=True)
    (folder / "orchard.py").write_text(HELPERS.format(factor=factor))
    if package:
        (home / "__init__.py").write_text("")
    (home / "steps_of_all.py").write_text(STEPS)
    code = MAKE.format(module="forest.steps_of_all" if package else "steps_of_all")
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, check=True).stdout


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A project of this process, whose modules have the names as well."""
    blob = written(tmp_path / "here", 1)
    monkeypatch.syspath_prepend(tmp_path / "here")
    yield importlib.import_module("steps_of_all"), blob
    for name in ("steps_of_all", "orchard"):
        sys.modules.pop(name, None)


def test_each_version_predicts_with_the_code_that_it_was_trained_with(tmp_path, here):
    steps, blob = here
    path = list(sys.path)
    others = {factor: written(tmp_path / str(factor), factor) for factor in (10, 100)}
    found = {factor: OwnModules(tmp_path / str(factor)).loads(other) for factor, other in others.items()}
    assert {factor: model.predict() for factor, model in found.items()} == {10: 20, 100: 200}
    assert len({type(model) for model in (*found.values(), pickle.loads(blob))}) == 3
    assert sys.modules["steps_of_all"] is steps
    assert sys.modules["orchard"].FACTOR == 1
    assert sys.path == path


def test_a_package_is_imported_once_and_stays_out_of_the_process(tmp_path):
    blob = written(tmp_path / "project", 3, package=True)
    modules = OwnModules(tmp_path / "project")
    first, second = modules.loads(blob), modules.loads(blob)
    assert (type(first) is type(second), type(first.inner) is type(first).Inner, first.predict()) == (True, True, 6)
    assert not {"forest", "forest.steps_of_all", "orchard"} & set(sys.modules)


def test_what_is_no_module_of_the_folder_is_the_process_s(tmp_path):
    assert OwnModules(tmp_path).loads(pickle.dumps(json.JSONDecoder)) is json.JSONDecoder
    assert OwnModules(tmp_path / "missing").loads(pickle.dumps(json.JSONDecoder)) is json.JSONDecoder


def test_a_module_that_fails_leaves_the_process_as_it_was(tmp_path, here):
    steps, blob = here
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "steps_of_all.py").write_text("raise ValueError('boom')\n")
    with pytest.raises(ValueError, match="boom"):
        OwnModules(tmp_path / "broken").loads(blob)
    assert sys.modules["steps_of_all"] is steps
    assert str(tmp_path / "broken") not in sys.path
