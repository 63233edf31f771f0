"""The documentation says what the code does: links, commands, code, generated pages."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer.core
import typer.main

import lakemill as lm
from lakemill.cli.main import app
from lakemill.core.config import Document, validate
from lakemill.projects.project import ProjectFile

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:^|[`$&] ?)lakemill +([^`#\n]*)", re.MULTILINE)
NODE = re.compile(r"`pytest (\S+?)(?: -k [^`]*)?`")


def blocks(page: Path, *languages: str) -> list[str]:
    return [body for language, body in FENCE.findall(page.read_text()) if language in languages]


def anchor(heading: str) -> str:
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading.lower())).strip("-")


def anchors(page: Path) -> set[str]:
    prose = FENCE.sub("", page.read_text())
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", prose, re.MULTILINE)}


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        absent = not target.exists() or bool(fragment and anchor(fragment) not in anchors(target))
        if "://" not in link and absent:
            broken.append(link)
    return broken


def wrong_commands(text: str) -> list[str]:
    wrong = []
    for written in COMMAND.findall(text):
        command, words = followed(written.split("&&")[0].split())
        options = {option for parameter in command.params for option in parameter.opts}
        asked = {word for word in words if word.startswith("--")}
        is_unknown = hasattr(command, "commands") and words and words[0] not in {"COMMAND", "--version"}
        if is_unknown or asked - options - {"--debug"}:
            wrong.append(written)
    return wrong


def followed(words: list[str]) -> tuple[typer.core.TyperCommand, list[str]]:
    """The command that the first of the words name, and the others."""
    command = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


def unknown_names(code: str) -> set[str]:
    """Names of ``lm.`` that are not public; raises if the code is not Python."""
    used = {
        node.attr
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "lm"
    }
    return used - set(lm.__all__)


@EVERY_PAGE
def test_every_link_leads_somewhere(page):
    assert broken_links(page) == []


@EVERY_PAGE
def test_every_command_is_one(page):
    assert wrong_commands(page.read_text()) == []


@EVERY_PAGE
def test_code_is_code_and_names_are_public(page):
    assert [name for code in blocks(page, "python") for name in unknown_names(code)] == []
    for table in blocks(page, "toml"):
        assert tomllib.loads(table)


@EVERY_PAGE
def test_project_files_are_valid(page):
    """A block that begins with a bundle is a whole project file; references stand for texts."""
    for text in blocks(page, "yaml"):
        if text.startswith("bundle:"):
            document = Document(text, page.name)
            assert validate(document.data, ProjectFile, document).bundle.name


def test_every_claim_s_test_is_there():
    nodes = [node for page in PAGES for node in NODE.findall(page.read_text())]
    assert len(nodes) > 40
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:randomly", *dict.fromkeys(nodes)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout[-3000:] + told.stderr


def test_every_public_name_is_in_the_reference():
    reference = (DOCS / "reference" / "api.md").read_text()
    documented = {line.rpartition(".")[2] for line in re.findall(r"^::: (\S+)$", reference, re.MULTILINE)}
    assert set(lm.__all__) - documented - set(re.findall(r"`lm\.(\w+)`", reference)) == set()


def test_every_page_is_in_the_navigation():
    written = set(re.findall(r"(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert written == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}


def test_every_decision_is_in_the_index():
    index = (DOCS / "adr" / "README.md").read_text()
    assert [page.name for page in sorted((DOCS / "adr").glob("0*.md")) if f"({page.name})" not in index] == []


def test_generated_pages_are_current():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert [page.name for page in generate.changed()] == [], "run: python docs/generate.py"


def test_a_broken_link_a_wrong_command_and_an_unknown_name_are_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n[here](#a-page) [there](there.md) [below](#b) `lakemill fly` `lakemill run a --far` `lakemill advise fly`\n"
    )
    assert broken_links(page) == ["there.md", "#b"]
    assert wrong_commands(page.read_text()) == ["fly", "run a --far", "advise fly"]
    assert unknown_names("import lakemill as lm\nlm.open('.')\nlm.fly()") == {"fly"}
