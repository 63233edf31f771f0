from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import lakemill
from lakemill.core.errors import ConfigError, MissingExtraError
from lakemill.core.plugins import Slot


class Base:
    pass


@pytest.fixture
def slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slot[Base]:
    folder = tmp_path / f"animals_{tmp_path.name.replace('-', '_')}"
    folder.mkdir()
    imports = f"from {__name__} import Base\n" if __name__ in sys.modules else ""
    (folder / "__init__.py").write_text("")
    (folder / "base.py").write_text("")
    (folder / "_helper.py").write_text("")
    (folder / "cat.py").write_text(
        f"{imports}class Cat(Base):\n    def __init__(self, name='Tom', *, house=None): self.name, self.house = name, house\n"
    )
    (folder / "dragon.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return Slot(folder.name, Base)


def test_files_of_the_folder_are_its_kinds(slot):
    assert slot.kinds() == ("cat", "dragon")


def test_build_passes_options_and_live_things(slot):
    cat = slot.build({"kind": "cat", "name": "Felix"}, house="here")
    assert (cat.name, cat.house) == ("Felix", "here")


def test_unknown_kind_names_the_nearest(slot):
    with pytest.raises(ConfigError, match="did you mean cat"):
        slot.build({"kind": "cta"})


def test_unknown_option_names_the_nearest(slot):
    with pytest.raises(ConfigError, match="no option 'nme'"):
        slot.build({"kind": "cat", "nme": "Felix"})


def test_missing_package_names_the_install_command(slot):
    with pytest.raises(MissingExtraError, match=r"pip install 'lakemill\[dragon\]'"):
        slot.load("dragon")


def test_every_public_name_loads():
    assert set(lakemill.__all__) == set(lakemill._HOMES)
    for name in lakemill.__all__:
        assert getattr(lakemill, name).__doc__


def test_import_and_public_names_load_nothing_heavy():
    code = (
        "import sys, lakemill; dir(lakemill); lakemill.Resources; "
        "heavy = {'pyspark', 'ray', 'torch', 'mlflow', 'dbos', 'pandas', 'duckdb', 'statsforecast', 'lightgbm'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
