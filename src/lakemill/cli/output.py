"""Words and tables on the terminal, one JSON document for programs."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDE: Final = 1000
"""Columns of an output that is no terminal: programs read lines, not wrapped cells."""


def console(*, stderr: bool = False) -> Console:
    """Return standard output, or standard error, as rich writes to it."""
    from rich.console import Console

    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=None if is_terminal else WIDE)


def print_json(value: Any) -> None:
    """Write one JSON document to standard output."""
    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def print_lines(label: str, text: str, *, style: str) -> None:
    """Write a labelled text to standard error, its further lines indented, none of them cut."""
    from rich.text import Text

    body = text.replace("\n", f"\n{'':{len(label) + 2}}")
    console(stderr=True).print(Text.assemble((f"{label}:", style), " ", body), soft_wrap=True)


def table(*columns: str, right: Sequence[str] = (), wrap: Sequence[str] = ()) -> Table:
    """Return an empty table without lines.

    Parameters
    ----------
    columns
        Headings.
    right
        Those that hold numbers.
    wrap
        Those that give way on a narrow terminal; the others keep their width.
    """
    from rich.table import Table

    made = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(
            column, justify="right" if column in right else "left", no_wrap=column not in wrap, overflow="fold"
        )
    return made


def show(*sections: Table | str) -> None:
    """Write tables and texts to standard output, an empty line between them; tables without rows are left out."""
    terminal = console()
    told = [section for section in sections if isinstance(section, str) or section.rows]
    for number, section in enumerate(told):
        if number:
            terminal.print()
        terminal.print(section, soft_wrap=isinstance(section, str))


def fields(pairs: Iterable[tuple[str, Any]]) -> Table:
    """Return names and values below one another, without those that say nothing."""
    made = table("", "", wrap=[""])
    made.show_header = False
    made.columns[0].style, made.columns[0].no_wrap = "dim", True
    for name, value in pairs:
        if value not in (None, "", (), []):
            made.add_row(name, str(value) if isinstance(value, Path) else value)
    return made


def plain(value: Any) -> Any:
    """Return records, rows of tables and times as JSON knows them; NaN and infinities are null.

    Examples
    --------
    >>> plain({"at": date(2011, 12, 9), "score": float("nan"), "tags": ("a",)})
    {'at': '2011-12-09', 'score': None, 'tags': ['a']}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):  # a pydantic model, whose library starts slowly
        return plain(value.model_dump())
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date | datetime):
        return value.isoformat()
    return value if isinstance(value, str | int | bool | None) else str(value)
