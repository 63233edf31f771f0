from __future__ import annotations

import pytest

from lakemill.core.config import Document
from lakemill.core.errors import ConfigError
from lakemill.projects.interpolate import UNSET, interpolate

DOCUMENT = Document("a:\n  b: 1\nlist:\n  - x\n", "f.yml")
VALUES = {
    "bundle.name": "demand",
    "bundle.target": "dev",
    "var.horizon": 28,
    "var.fast": True,
    "var.share": 0.5,
    "var.table": "main.${bundle.target}.sales",
    "var.empty": UNSET,
    "var.p": "${var.q}",
    "var.q": "${var.r}",
    "var.r": "${var.q}",
}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("${var.horizon}", 28),
        ("${var.fast}", True),
        ("${ var.share }", 0.5),
        ("${var.horizon} days, ${var.fast}", "28 days, true"),
        ("${var.table}", "main.dev.sales"),
        ("models/${bundle.name}-${bundle.target}", "models/demand-dev"),
        (
            {"a": ["${var.horizon}", 3, None, "x"], "b": {"c": "${bundle.name}"}},
            {"a": [28, 3, None, "x"], "b": {"c": "demand"}},
        ),
        ("no $reference, {here}, $$", "no $reference, {here}, $$"),
    ],
)
def test_references_are_filled_in(data, expected):
    filled = interpolate(data, VALUES, document=DOCUMENT)
    assert filled == expected
    assert type(filled) is type(expected)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            {"a": {"b": "${var.horizont}"}},
            "f.yml:2:3: nothing is called ${var.horizont}\n  hint: did you mean var.horizon?",
        ),
        (
            {"list": ["x${var.empty}"]},
            "f.yml:4:5: variable 'empty' has no value\n  hint: give it a default, a value in the target, or `--set empty=VALUE`",
        ),
        ({"a": "${var.p}"}, "f.yml:1:1: references go in a circle: var.q -> var.r -> var.q"),
        ({"a": "${}"}, "f.yml:1:1: nothing is called ${}"),
    ],
)
def test_bad_references_are_refused_with_their_place(data, expected):
    with pytest.raises(ConfigError) as caught:
        interpolate(data, VALUES, document=DOCUMENT)
    assert expected in str(caught.value)
