from __future__ import annotations

import pytest

from lakemill.catalog.names import absolute_root, check_name, location
from lakemill.core.errors import ConfigError


@pytest.mark.parametrize("name", ["main.retail.sales", "M1.r_2.S_3", "a.b.c"])
def test_three_parts_make_a_name(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["sales", "retail.sales", "a.b.c.d", "a..c", "", "a.b.c ", "a.b.c\n", "a.b/../../x.c", "a.b.ñ", "a-b.c.d"]
)
def test_anything_else_is_refused(name):
    with pytest.raises(ConfigError, match=r"catalog\.schema\.table"):
        check_name(name)


def test_a_root_may_be_relative_or_a_uri(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_root("tables") == f"{tmp_path}/tables"
    assert absolute_root("s3://bucket/tables/") == "s3://bucket/tables"
    assert location("s3://bucket/tables", "a.b.c") == "s3://bucket/tables/a/b/c"


def test_a_percent_sign_in_the_root_is_refused(tmp_path):
    """delta-rs reads it as an escape: the table would lie in the folder "a b"."""
    with pytest.raises(ConfigError, match="percent sign"):
        absolute_root(str(tmp_path / "a%20b"))
