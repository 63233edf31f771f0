"""The content of functions: equal wherever it is read, another after each edit that matters."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lakemill.training.many.content import content_of

HELPERS = """
import logging

logger = logging.getLogger(__name__)
SHRINK = {"a": 0.5, "b": {"x", "y", "z"}}

class Base:
    def level(self):
        return 1

class Model(Base):
    def predict(self, rows):
        return self.level()

def unused(rows):
    return 1

def level(rows):
    logger.info("levelled")
    return SHRINK["a"] * depth(rows)

def depth(rows):
    return 0 if len(rows) else level(rows)
"""

STEPS = """
from functools import partial

import numpy as np
import pandas as pd

import helpers
from helpers import Model, level

def unused(rows):
    return 1

def closing(scale, names, table):
    def fit(rows):
        def inner():
            return level(rows)
        return Model(), inner() * scale, names, table
    return fit

def given(rows, scale=2, *, more=3):
    return helpers.level(rows)

class Fit:
    def __init__(self, scale):
        self.scale = scale
    def __call__(self, rows):
        return self.scale
    def method(self, rows):
        return level(rows)

fit = closing(3, {"x", "y", "z", "w"}, pd.DataFrame({"k": [1.5]}))
scaled = partial(given, scale=np.array([1, 2]))
called = Fit(4)
bound = called.method
"""

NAMES = ("fit", "given", "scaled", "called", "bound")
ALL = set(NAMES)
EDITS = [
    ("", "", "", set()),
    ("steps.py", "def unused(rows):\n    return 1", "def unused(rows):\n    return 2", set()),
    ("steps.py", "inner() * scale", "inner() + scale", {"fit"}),
    ("steps.py", "return level(rows)\n        return", "return level(rows) + 1\n        return", {"fit"}),
    ("steps.py", "closing(3,", "closing(4,", {"fit"}),
    ("steps.py", '"z", "w"}', '"z", "v"}', {"fit"}),
    ("steps.py", "[1.5]", "[1.25]", {"fit"}),
    ("steps.py", "more=3", "more=4", {"given", "scaled"}),
    ("steps.py", "np.array([1, 2])", "np.array([1, 3])", {"scaled"}),
    ("steps.py", "Fit(4)", "Fit(5)", {"called", "bound"}),
    ("steps.py", "return self.scale", "return -self.scale", {"called", "bound"}),
    ("helpers.py", "return 0 if", "return 1 if", ALL),
    ("helpers.py", '"a": 0.5', '"a": 0.25', ALL),
    ("helpers.py", "return self.level()", "return -self.level()", {"fit", "given", "scaled"}),
]
READ = f"""
import json, sys
from pathlib import Path
from lakemill.training.many.content import content_of
for folder in sys.argv[1:]:
    sys.path.insert(0, folder)
    import steps
    print(json.dumps({{name: content_of(getattr(steps, name), Path(folder)) for name in {NAMES}}}))
    del sys.path[0], sys.modules["steps"], sys.modules["helpers"]
"""


@pytest.fixture(scope="module")
def contents(tmp_path_factory) -> list[dict[str, list[str]]]:
    """Return the content of each function before and after each edit, the first also as another process reads it."""
    folders = []
    for file, old, new, _ in EDITS:
        folders.append(tmp_path_factory.mktemp("project"))
        for name, source in {"helpers.py": HELPERS, "steps.py": STEPS}.items():
            assert file != name or old in source
            (folders[-1] / name).write_text(source.replace(old, new) if file == name else source)
    return [*read(folders), *read(folders[:1])]


def read(folders: list[Path]) -> list[dict[str, list[str]]]:
    done = subprocess.run([sys.executable, "-c", READ, *map(str, folders)], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("number", range(1, len(EDITS)))
def test_an_edit_that_matters_makes_another_content(contents, number):
    before, after = contents[0], contents[number]
    assert {name for name in NAMES if before[name] != after[name]} == EDITS[number][-1]


def test_every_process_reads_the_same(contents):
    assert contents[-1] == contents[0]


def test_other_packages_are_not_read():
    def fit(rows):
        return np.polyfit(rows["t"], rows["y"], 1)

    found = content_of(fit, Path(__file__).parent)
    assert found[2].strip().startswith("def fit(rows)")
    assert not any("def polyfit" in piece for piece in found)


def test_what_holds_itself_is_read_once():
    held: list[object] = [7]
    held.append(held)

    def fit(rows):
        return fit, held

    assert content_of(fit, Path(__file__).parent).count("7") == 1
