from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from lakemill.cli.options import settings
from lakemill.cli.output import fields, plain, print_json, show, table
from lakemill.cli.reports import newest_report
from lakemill.core.errors import ConfigError
from lakemill.core.records import Resources
from lakemill.projects.project import Bundle


def test_everything_that_a_table_may_hold_becomes_json(capsys):
    moment = datetime(2011, 12, 9, 8, 30, tzinfo=UTC)
    print_json(
        {
            "record": Resources(cpus=0.5),
            "model": Bundle(name="shop"),
            "row": {"day": date(2011, 12, 9), "at": moment, "price": Decimal("1.10"), "raw": b"\xff", 7: None},
            "numbers": (1, 2.5, True, float("nan"), float("inf")),
            "path": Path("/tmp/x"),
            "text": "Crème [x]",
        }
    )
    assert json.loads(capsys.readouterr().out) == {
        "record": {"cpus": 0.5, "gpus": 0.0, "memory_bytes": None},
        "model": {"name": "shop"},
        "row": {"day": "2011-12-09", "at": "2011-12-09T08:30:00+00:00", "price": "1.10", "raw": "b'\\xff'", "7": None},
        "numbers": [1, 2.5, True, None, None],
        "path": "/tmp/x",
        "text": "Crème [x]",
    }


def test_plain_leaves_booleans_and_whole_numbers_alone():
    assert plain([True, 0, ""]) == [True, 0, ""]


def test_lines_of_a_pipe_are_never_wrapped_and_hold_no_codes(capsys):
    made = table("name", "comment", wrap=("comment",))
    made.add_row("main.shop.sales", "a long comment " * 20)
    show(made)
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 2
    assert "\x1b" not in out


def test_sections_are_parted_by_an_empty_line_and_empty_ones_left_out(capsys):
    show(fields([("run", "7"), ("report", None), ("tags", "")]), table("nothing"), "no rows")
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == ["run  7", "", "no rows"]


def test_marks_of_rich_in_values_are_text(capsys):
    made = table("[red]x")
    made.add_row("[/bold] :smile:")
    show(made)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == ["[red]x", "[/bold] :smile:"]


@pytest.mark.parametrize("pair", ["horizon", "=14", ""])
def test_a_setting_needs_a_name_and_a_value(pair):
    with pytest.raises(ConfigError, match=r"expected NAME=VALUE, got '.*'"):
        settings(["rows=1", pair])


def test_settings_keep_further_equal_signs_and_the_last_value():
    assert settings(["a=1", "b=x=y", "a=", "c= 2"]) == {"a": "", "b": "x=y", "c": " 2"}


def test_the_newest_report(tmp_path):
    assert newest_report(str(tmp_path)) is None
    folder = tmp_path / "reports" / "demand"
    folder.mkdir(parents=True)
    for age, name in ((30, "old.html"), (10, "new.html"), (0, "data.json")):
        path = folder / name
        path.write_text("x")
        os_time = datetime(2011, 12, 9, tzinfo=UTC).timestamp() - age
        os.utime(path, (os_time, os_time))
    assert newest_report(str(tmp_path)) == folder / "new.html"
    assert newest_report(str(tmp_path), since=datetime(2011, 12, 9, tzinfo=UTC)) is None
