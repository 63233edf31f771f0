"""``lakemill report``."""

from __future__ import annotations

from typing import Annotated

import typer

from lakemill.cli.options import JsonOption, TargetOption
from lakemill.cli.output import print_json
from lakemill.cli.reports import newest_report
from lakemill.core.errors import NotFoundError


def report(
    target: TargetOption = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the path of the newest report.

    Example:  lakemill report --open
    """
    from lakemill.projects import load_project

    project = load_project(target=target)
    path = newest_report(project.settings.root)
    if path is None:
        raise NotFoundError(f"no report below {project.settings.root}", hint="`lakemill run JOB` writes one")
    if show:
        typer.launch(str(path))
    if as_json:
        print_json({"report": path})
    else:
        typer.echo(path)
