from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lakemill.core.errors import ConfigError
from lakemill.projects import check_references, load_project
from lakemill.projects.references import bind, resolve


@pytest.fixture
def folder(tmp_path: Path):
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def project(folder: Path, *references: str):
    tasks = "\n".join(f"        - {{task_key: t{index}, python: '{name}'}}" for index, name in enumerate(references))
    (folder / "lakemill.yml").write_text(f"bundle: {{name: x}}\nresources:\n  jobs:\n    j:\n      tasks:\n{tasks}\n")
    return load_project(folder)


def test_a_reference_is_imported_from_the_folder(folder):
    (folder / "refs_steps.py").write_text("class A:\n    b = 5\ndef f(ws): return 'f'\n")
    assert resolve("refs_steps:f", str(folder))(None) == "f"
    assert resolve("refs_steps:A.b", str(folder)) == 5


def test_a_reference_into_a_package(folder):
    (folder / "refs_pack").mkdir()
    (folder / "refs_pack" / "inner.py").write_text("x = 1\n")
    assert resolve("refs_pack.inner:x", str(folder)) == 1
    with pytest.raises(ConfigError, match=r"refs_pack\.outer:x: no module 'refs_pack\.outer' in"):
        resolve("refs_pack.outer:x", str(folder))


def test_what_is_not_there_is_named(folder):
    (folder / "refs_other.py").write_text("def ingest(ws): ...\n")
    with pytest.raises(
        ConfigError, match=r"refs_other:ingst: nothing is called 'ingst' there\n  hint: did you mean ingest\?"
    ):
        resolve("refs_other:ingst", str(folder))
    with pytest.raises(ConfigError, match="refs_absent:f: no module 'refs_absent' in"):
        resolve("refs_absent:f", str(folder))


def test_what_a_module_lacks_itself_comes_through(folder):
    (folder / "refs_lacking.py").write_text("import refs_no_such_package\n")
    with pytest.raises(ModuleNotFoundError, match="refs_no_such_package"):
        resolve("refs_lacking:f", str(folder))


def test_a_function_receives_what_it_names():
    def step(ws, table, days=1):
        return ws, table, days

    assert bind(step, {"table": "t"}, shared={"days": 7, "other": 3})("ws") == ("ws", "t", 7)
    assert bind(step, {"table": "own"}, shared={"table": "shared"})("ws") == ("ws", "own", 1)
    assert bind(step, {}, shared={"other": 3}) is step


def test_a_parameter_that_nobody_takes_is_refused():
    def step(ws, table):
        return ws, table

    with pytest.raises(ConfigError, match=r"step\(\) takes no parameter 'tabel'\n  hint: did you mean table\?"):
        bind(step, {"tabel": "t"}, shared={})
    with pytest.raises(ConfigError, match=r"step\(\) takes no parameter 'ws'"):
        bind(step, {"ws": 1}, shared={})
    with pytest.raises(ConfigError, match="dict takes no parameter 'a'"):
        bind({}, {"a": 1}, shared={"b": 2})
    assert bind(declared := {"x": 1}, {}, shared={"b": 2}) is declared


def test_all_references_of_a_project_are_tried_in_a_fresh_process(folder):
    (folder / "fresh_steps.py").write_text("print('noise')\ndef good(ws): ...\n")
    (folder / "fresh_broken.py").write_text("raise ValueError('at import')\n")
    check_references(project(folder, "fresh_steps:good"))
    assert "fresh_steps" not in sys.modules
    with pytest.raises(ConfigError) as caught:
        check_references(project(folder, "fresh_steps:good", "fresh_steps:goode", "fresh_broken:f", "fresh_absent:f"))
    told = caught.value.message.replace(f"{folder}/", "")
    assert "lakemill.yml:7:26: fresh_steps:goode: nothing is called 'goode' there" in told
    assert "lakemill.yml:8:26: fresh_broken:f: importing it raised ValueError: at import" in told
    assert "lakemill.yml:9:26: fresh_absent:f: no module 'fresh_absent' in" in told
    assert "fresh_steps:good:" not in told


def test_a_module_that_ends_its_process_is_told(folder):
    (folder / "fatal_steps.py").write_text(
        "import os, sys\nsys.stderr.write('so be it')\nsys.stderr.flush()\nos._exit(3)\n"
    )
    with pytest.raises(ConfigError, match="importing the modules of the project ended the process: so be it"):
        check_references(project(folder, "fatal_steps:f"))
