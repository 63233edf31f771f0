from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from lakemill.core.config import ConfigModel, Document, dotted, validate
from lakemill.core.errors import ConfigError, NotFoundError, StorageError


class Step(ConfigModel):
    task_key: str
    max_retries: int = Field(default=0, ge=-1)
    tags: tuple[str, ...] = ()


class Box(ConfigModel):
    name: str
    weight: float = 1.0
    steps: tuple[Step, ...] = ()
    named: dict[str, Step] = Field(default={})
    keyed: dict[Annotated[str, Field(pattern="^[a-z]+$")], Step] = Field(default={})
    extra: Step | None = None


def read(text: str) -> Box:
    document = Document(text, "box.yml")
    return validate(document.data, Box, document)


def fault(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return str(caught.value)


def test_yaml_becomes_a_record():
    box = read("name: a\nweight: 2\nsteps:\n  - {task_key: x, tags: [p, q]}\nnamed: {k: {task_key: y}}\n")
    assert box == Box(
        name="a", weight=2.0, steps=(Step(task_key="x", tags=("p", "q")),), named={"k": Step(task_key="y")}
    )


@pytest.mark.parametrize(
    ("text", "place", "nearest"),
    [
        ("nmae: a\n", "box.yml:1:1: unknown key 'nmae'", "did you mean name?"),
        ("name: a\nsteps:\n  - task_key: x\n    max_retires: 2\n", "box.yml:4:5", "did you mean max_retries?"),
        ("name: a\nsteps: [{task_key: x}, {task_key: y, tgas: []}]\n", "box.yml:2:38", "did you mean tags?"),
        ("name: a\nnamed:\n  k: {task_kei: x}\n", "box.yml:3:7", "did you mean task_key?"),
        ("name: a\nkeyed:\n  k: {task_kei: x}\n", "box.yml:3:7", "did you mean task_key?"),
        ("name: a\nextra:\n    task_kei: x\n", "box.yml:3:5", "did you mean task_key?"),
        ("name: a\nzzz: 1\n", "box.yml:2:1", "known: extra, keyed, name, named, steps, weight"),
    ],
)
def test_unknown_keys_are_refused_with_their_place_and_the_nearest(text, place, nearest):
    assert place in fault(text)
    assert nearest in fault(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: 3\n", "box.yml:1:1: name: input should be a valid string, got 3"),
        (
            "name: a\nsteps:\n- {task_key: x, max_retries: '2'}\n",
            "box.yml:3:17: steps[0].max_retries: input should be a valid integer, got '2'",
        ),
        (
            "name: a\nsteps: [{task_key: x, max_retries: -2}]\n",
            "steps[0].max_retries: input should be greater than or equal to -1, got -2",
        ),
        ("name: a\nweight: yes\n", "box.yml:2:1: weight: input should be a valid number, got True"),
        ("name: a\nsteps: [{max_retries: 1}]\n", "box.yml:2:9: key 'steps[0].task_key' is required"),
        (
            "name: a\nkeyed: {K: {task_key: x}}\n",
            "box.yml:2:9: keyed.K: string should match pattern '^[a-z]+$', got 'K'",
        ),
        ("weight: 1\n", "box.yml:1:1: key 'name' is required"),
        ("name: a\nsteps: 5\n", "box.yml:2:1: steps: input should be a valid array, got 5"),
    ],
)
def test_wrong_values_are_refused_with_their_place(text, expected):
    assert expected in fault(text)


def test_all_faults_are_told_at_once():
    assert len(fault("nmae: a\nweight: x\n").splitlines()) == 3


def test_a_long_value_is_cut():
    assert len(fault(f"name: [{'x' * 500}]\n")) < 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "box.yml:1:1: expected a mapping of keys, got an empty file"),
        ("- a\n- b\n", "box.yml:1:1: expected a mapping of keys, got a sequence"),
        ("just text", "expected a mapping of keys, got a scalar"),
        ("name: [a\n", "box.yml:2:1: not valid YAML"),
        ("name: a\n---\nname: b\n", "not valid YAML"),
        ("name: !python/object:os.system x\n", "not valid YAML: could not determine a constructor"),
        ("name: \x00\n", "box.yml: not valid YAML"),
        ("name: a\nweight: 1\nname: b\n", "box.yml:3:1: key 'name' appears twice\n  hint: it is first at box.yml:1:1"),
        ("name: a\non: 1\n", "box.yml:2:1: expected a key that is text, got bool: on"),
        ("name: a\n? [p]\n: 1\n", "expected a key that is text, got seq"),
        ("name: &x {y: *x}\n", "nested deeper than 50 levels"),
    ],
)
def test_what_is_not_a_mapping_in_yaml_is_refused(text, expected):
    assert expected in fault(text)


def test_merge_keys_and_aliases_work():
    text = "name: a\nnamed:\n  one: &base {task_key: x, max_retries: 3}\n  two: {<<: *base, task_key: y}\n"
    assert read(text).named["two"] == Step(task_key="y", max_retries=3)


def test_files_that_cannot_be_read_are_named(tmp_path: Path):
    with pytest.raises(NotFoundError, match=r"no file .*absent\.yml"):
        Document.read(tmp_path / "absent.yml")
    with pytest.raises(StorageError, match="cannot read"):
        Document.read(tmp_path)
    (tmp_path / "latin.yml").write_bytes(b"name: \xe9\xff\n")
    with pytest.raises(ConfigError, match=r"expected text in UTF-8, got other bytes at offset 6"):
        Document.read(tmp_path / "latin.yml")


def test_an_included_document_keeps_its_own_places():
    main, more = (
        Document("name: a\nnamed:\n  k: {task_key: x}\n", "main.yml"),
        Document("named:\n  m:\n    bad: 1\n", "more.yml"),
    )
    main.include(more)
    assert main.data == {"name": "a", "named": {"k": {"task_key": "x"}, "m": {"bad": 1}}}
    assert main.place(("named", "m", "bad")) == "more.yml:3:5"
    assert main.place(("named", "k", "task_key")) == "main.yml:3:7"


def test_two_documents_may_not_set_the_same_key():
    main = Document("named:\n  k: {task_key: x}\n", "main.yml")
    with pytest.raises(ConfigError) as caught:
        main.include(Document("named:\n  k: {task_key: y}\n", "more.yml"))
    assert str(caught.value) == (
        "more.yml:2:7: key 'named.k.task_key' is set twice\n  hint: it is first at main.yml:2:7; keep one of them"
    )


def test_the_place_of_an_absent_key_is_its_parent():
    document = Document("a:\n  b: 1\n", "f.yml")
    assert document.place(("a", "c", 0)) == "f.yml:1:1"
    assert document.place(("z",)) == "f.yml:1:1"
    assert document.place(("a", "b")) == "f.yml:2:3"


def test_records_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        read("name: a\n").name = "b"


def test_places_are_written_as_people_do():
    assert dotted(("a", 0, "b", 1)) == "a[0].b[1]"
