"""Options that several commands share; each import waits until somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from lakemill.core.errors import ConfigError

if TYPE_CHECKING:
    from lakemill.projects.project import Project


def settings(pairs: Sequence[str]) -> dict[str, str]:
    """Read ``name=value`` pairs.

    Raises
    ------
    ConfigError
        If one has no name or no ``=``.

    Examples
    --------
    >>> settings(["horizon=14", "where=day>'2011-01-01'"])
    {'horizon': '14', 'where': "day>'2011-01-01'"}
    """
    for pair in pairs:
        if not pair.partition("=")[0] or "=" not in pair:
            raise ConfigError(f"--set: expected NAME=VALUE, got {pair!r}", hint="write it as in `--set region=north`")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def _completer(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        with suppress(Exception):  # a shell shows no errors of a completion
            return [name for name in names() if name.startswith(incomplete)]
        return []

    return complete


def _project() -> Project:
    from lakemill.projects import load_project

    return load_project()


def _engines() -> set[str]:
    from lakemill.core.records import AUTO
    from lakemill.engines.frames import FRAME_ENGINES
    from lakemill.engines.tasks import TASK_ENGINES

    return {*FRAME_ENGINES.kinds(), *TASK_ENGINES.kinds(), AUTO}


def _templates() -> tuple[str, ...]:
    from lakemill.projects.template import templates

    return templates()


JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="Key of the job.", autocompletion=_completer(lambda: _project().jobs))
]
TemplateOption = Annotated[
    str, typer.Option("--template", metavar="NAME", help="What to begin with.", autocompletion=_completer(_templates))
]
TargetOption = Annotated[
    str | None, typer.Option("--target", metavar="T", help="Target of the project file; its default one if none.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Value of a variable; may be repeated.")
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="KIND",
        help="local; ray: tasks on Ray; spark: frames and tasks on Spark; auto: tasks by plan. The target's choice if none.",
        autocompletion=_completer(_engines),
    ),
]
ClusterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--cluster",
        metavar="NAME",
        help="A cluster that may be used, here for this machine; may be repeated. By default all.",
        autocompletion=_completer(lambda: ["here", *(cluster.name for cluster in _project().settings.clusters)]),
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
