"""What all commands share: `--debug` in any place, and errors that end in one line and a code."""

from __future__ import annotations

import sys
import traceback
from itertools import pairwise
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from lakemill.cli.exits import Fault, fault_of
from lakemill.cli.output import print_json, print_lines

DEBUG: Final = "--debug"
HTML: Final = "--html"
_DEBUG_KEY: Final = "lakemill.debug"


class Group(TyperGroup):
    """The commands together; ``--debug`` may stand before or after the command's name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take ``--debug`` from wherever it stands."""
        return super().parse_args(ctx, sorted(args, key=lambda arg: arg != DEBUG))


class Command(TyperCommand):
    """One command: an error is told on standard error, with ``--json`` on standard output as well.

    The file of ``--html`` may be left out: only a word that ends in ``.html`` is taken for one.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give ``--html`` an empty file where none follows it."""
        filled = [word for arg, following in pairwise([*args, ""]) for word in _with_file(arg, following)]
        return super().parse_args(ctx, filled)

    def invoke(self, ctx: Any) -> Any:
        """Call the command's function."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.TyperException, BrokenPipeError):
            raise
        except Exception as error:
            fault = fault_of(error)
            if ctx.params.get("as_json"):
                print_json({"error": fault})
            tell(fault, error=error, debug=debugging(ctx))
            raise typer.Exit(fault.exit_code) from error


def _with_file(arg: str, following: str) -> tuple[str, ...]:
    return (arg, "") if arg == HTML and not following.endswith(".html") else (arg,)


def remember_debug(ctx: typer.Context, debug: bool) -> None:
    """Note whether tracebacks are wanted."""
    ctx.meta[_DEBUG_KEY] = debug


def debugging(ctx: typer.Context) -> bool:
    """Return whether tracebacks are wanted."""
    return bool(ctx.meta.get(_DEBUG_KEY))


def tell(fault: Fault, *, error: BaseException, debug: bool) -> None:
    """Write an error to standard error."""
    sys.stdout.flush()
    if debug:
        traceback.print_exception(error)
    print_lines("error", fault.message, style="bold red")
    if fault.hint:
        print_lines(" hint", fault.hint, style="bold cyan")
