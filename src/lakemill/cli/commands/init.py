"""``lakemill init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lakemill.cli.options import JsonOption, TemplateOption
from lakemill.cli.output import fields, print_json, show


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make.")],
    template: TemplateOption = "demand",
    as_json: JsonOption = False,
) -> None:
    """Write a project to begin with into a folder.

    Example:  lakemill init shop --template demand
    """
    from lakemill.projects import init_project, load_project

    file = init_project(folder, template)
    jobs = list(load_project(file).jobs)
    if as_json:
        print_json({"project": file, "template": template, "jobs": jobs})
        return
    show(fields([("project", str(file)), ("go on with", f"cd {folder} && lakemill run {jobs[0]}")]))
