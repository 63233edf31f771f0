"""The command ``lakemill``."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from lakemill.cli.command import DEBUG, Command, Group, remember_debug, tell
from lakemill.cli.commands.advise import advise
from lakemill.cli.commands.hardware import hardware
from lakemill.cli.commands.init import init
from lakemill.cli.commands.models import models
from lakemill.cli.commands.plan import plan
from lakemill.cli.commands.report import report
from lakemill.cli.commands.run import run
from lakemill.cli.commands.runs import runs
from lakemill.cli.commands.schema import schema
from lakemill.cli.commands.tables import tables
from lakemill.cli.commands.validate import validate
from lakemill.cli.exits import fault_of

_CODES: Final = (
    "Exit codes: 0 done, 1 error, 2 wrong usage or project file, 3 the job failed, 70 a bug in Lakemill, "
    "130 interrupted."
)

app = typer.Typer(
    cls=Group, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich", epilog=_CODES
)
for function in (init, validate, plan, run, runs, tables, models, report, hardware, schema):
    app.command(cls=Command)(function)
app.add_typer(advise, name="advise")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"lakemill {version('lakemill')}")
        raise typer.Exit


def main() -> None:
    """Run the command with the arguments of this process."""
    try:
        app(prog_name="lakemill")
    except Exception as error:  # noqa: BLE001  even help may meet a full disk
        fault = fault_of(error)
        tell(fault, error=error, debug=DEBUG in sys.argv)
        sys.exit(fault.exit_code)


@app.callback()
def _start(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an error.")] = False,
) -> None:
    """From tables to monitored models: one project file, one command.

    [dim]Begin with[/dim]  lakemill init shop --template demand  [dim]then, in that folder,[/dim]  lakemill run demand
    """
    del version
    remember_debug(ctx, debug)
