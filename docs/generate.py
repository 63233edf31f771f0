"""Write the pages of the reference that come from the code: ``python docs/generate.py``.

All extras must be installed, for the kinds of engines are loaded. A test compares the pages with what this writes.
"""  # noqa: INP001  a script beside the pages

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import typer.main
from typer.core import TyperArgument

from lakemill.cli.main import app
from lakemill.core.plugins import Slot
from lakemill.engines.frames import FRAME_ENGINES
from lakemill.engines.gangs import GANG_ENGINES
from lakemill.engines.tasks import TASK_ENGINES
from lakemill.projects import json_schema
from lakemill.projects.clusters import ShippedNodeType, shipped
from lakemill.training.forecasting.definition import GLOBAL
from lakemill.training.forecasting.forecasters import FORECASTERS
from lakemill.training.forecasting.forecasters.base import ERRATIC, INTERMITTENT, LUMPY, SMOOTH

FOLDER: Final = Path(__file__).parent / "reference"
NOTE: Final = "<!-- Written by docs/generate.py: do not edit. -->"
CLASSES: Final = (SMOOTH, ERRATIC, INTERMITTENT, LUMPY)
ENGINES: Final[Mapping[str, Slot[Any]]] = {
    "Frames: tables in, tables out": FRAME_ENGINES,
    "Tasks: many independent functions": TASK_ENGINES,
    "Gangs: ranks that start and fail together": GANG_ENGINES,
}
ABOUT_ENGINES: Final = (
    "One column for each kind of engine, one line for each verb. A kind that lacks a verb cannot be built, so what counts\n"
    "is that every kind keeps the contract suite of its protocol (`lakemill.testing`), which compares values."
)
ABOUT_NODE_TYPES: Final = (
    "What a declared cluster may name as its `node_type_id`: [how](../how-to/plan.md#clusters-that-arent-here).\n"
    "Prices are on demand, for Linux, as the source had them on the day when it was read; the source's own day is that of\n"
    "the commit or the month named. Where there is none, add yours. Cores are hyperthreads. Network (the baseline where a\n"
    "type may burst) and TFLOP/s (dense BF16) are the vendors' figures."
)
ABOUT_FORECASTERS: Final = (
    "Which classes of demand each forecaster takes, and the shortest series. The classes are those of Syntetos,\n"
    "Boylan and Croston (2005). A series that a forecaster does not take is left to the others."
)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    escaped = [[cell.replace("|", "\\|") for cell in cells] for cells in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *escaped])


def support() -> str:
    """Return the page of what each kind of engine and each forecaster can do."""
    sections = [f"## {title}\n\n{verbs(slot)}" for title, slot in ENGINES.items()]
    forecasting = f"## Forecasters\n\n{ABOUT_FORECASTERS}\n\n{forecasters()}"
    return page("Support", ABOUT_ENGINES, *sections, forecasting)


def verbs(slot: Slot[Any]) -> str:
    """Return the verbs of a protocol and the kinds that have them."""
    kinds = {kind: slot.load(kind) for kind in slot.kinds()}
    names = sorted(slot.base.__abstractmethods__)
    rows = [
        [
            f"`{name}`",
            _first_line(getattr(slot.base, name)),
            *("yes" if hasattr(c, name) else "no" for c in kinds.values()),
        ]
        for name in names
    ]
    return table(["verb", "what it does", *kinds], rows)


def _first_line(documented: Any) -> str:
    return _text((inspect.getdoc(documented) or "").splitlines()[0])


def forecasters() -> str:
    """Return the forecasters with the classes of demand that they take."""
    rows = [[f"`{GLOBAL}`", *["yes"] * len(CLASSES), "1", "One model over all series: features as of the origin."]]
    for kind in FORECASTERS.kinds():
        cls = FORECASTERS.load(kind)
        takes = ["yes" if name in cls.classes else "no" for name in CLASSES]
        rows.append([f"`{kind}`", *takes, str(cls.min_observations), _first_line(cls)])
    return table(["forecaster", *CLASSES, "steps at least", "what it is"], rows)


def commands() -> str:
    """Return the page of the command line."""
    group: Any = typer.main.get_command(app)
    codes = inspect.cleandoc(group.epilog)
    return page("Command line", f"`lakemill COMMAND`. {codes}", *(_command(*item) for item in _leaves(group)))


def _leaves(group: Any, *before: str) -> Iterator[tuple[str, Any]]:
    """Yield the commands that do something, by their words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, *before, name)
        else:
            yield " ".join([*before, name]), command


def _command(name: str, command: Any) -> str:
    asked = [parameter for parameter in command.params if isinstance(parameter, TyperArgument)]
    words = " ".join(["lakemill", name, *(p.metavar if p.required else f"[{p.metavar}]" for p in asked)])
    rows = [[f"`{_written(parameter)}`", parameter.help or ""] for parameter in command.params]
    text = inspect.cleandoc(command.help).replace("Example:  ", "Example: `") + "`"
    return f"## lakemill {name}\n\n```console\n$ {words}\n```\n\n{text}\n\n{table(['argument', 'meaning'], rows)}"


def _written(parameter: Any) -> str:
    if isinstance(parameter, TyperArgument):
        return str(parameter.metavar)
    takes = f" {parameter.metavar}" if parameter.metavar else ""
    return f"{', '.join(parameter.opts)}{takes}"


def project_file() -> str:
    """Return the page of the keys of lakemill.yml."""
    schema = json_schema()
    parts = {"lakemill.yml": schema, **{name: part for name, part in schema["$defs"].items() if "properties" in part}}
    intro = (
        "Keys and vocabulary are those of asset bundles, as far as they go. Unknown keys are refused, with their place\n"
        "and the nearest known key. The same rules as JSON Schema, for editors: `lakemill schema`."
    )
    return page("Project file", intro, *(_keys(name, part) for name, part in parts.items()))


def _keys(name: str, part: Mapping[str, Any]) -> str:
    required = part.get("required", [])
    rows = [
        [f"`{key}`", _type(value), _default(value, required=key in required), _text(value.get("description", ""))]
        for key, value in part["properties"].items()
    ]
    return f"## {name}\n\n{_text(part.get('description', ''))}\n\n{table(['key', 'type', 'default', 'meaning'], rows)}"


def _type(node: Mapping[str, Any]) -> str:
    if "$ref" in node:
        return f"[{node['$ref'].rsplit('/', 1)[-1]}](#{node['$ref'].rsplit('/', 1)[-1].lower()})"
    if "anyOf" in node:
        return " or ".join(dict.fromkeys(_type(option) for option in node["anyOf"] if _told(option)))
    if "enum" in node:
        return ", ".join(f"`{word}`" for word in node["enum"])
    if node.get("type") == "array":
        return f"list of {_type(node['items'])}"
    if node.get("type") == "object":
        return f"{_type(_values(node))} by name"
    kinds = node.get("type", "any")
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def _told(option: Mapping[str, Any]) -> bool:
    reference = option.get("pattern", "").startswith(r"\$\{")
    return option.get("type") != "null" and not reference


def _values(node: Mapping[str, Any]) -> Mapping[str, Any]:
    values: Mapping[str, Any] = node.get("additionalProperties") or next(iter(node["patternProperties"].values()))
    return values


def _default(node: Mapping[str, Any], *, required: bool) -> str:
    if required:
        return "required"
    value = node.get("default")
    plain = isinstance(value, str | bool | int | float) and value != ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`" if plain else ""


def _text(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def node_types() -> str:
    """Return the page of the node types that ship."""
    head = [
        "name",
        "cloud",
        "cores",
        "memory, GiB",
        "network, Gbit/s",
        "accelerators",
        "USD an hour",
        "region",
        "read",
        "source",
    ]
    rows = [
        [
            f"`{name}`",
            one.cloud,
            str(one.cores),
            f"{one.memory_gib:g}",
            f"{one.network_gbit_per_second:g}",
            _accelerators(one),
            "" if one.price_per_hour is None else f"{one.price_per_hour:g}",
            one.region,
            one.read,
            one.source,
        ]
        for name, one in shipped().items()
    ]
    return page("Node types", ABOUT_NODE_TYPES, table(head, rows))


def _accelerators(one: ShippedNodeType) -> str:
    if not one.accelerators:
        return ""
    return f"{one.accelerators} x {one.accelerator}, {one.accelerator_memory_gib:g} GiB, {one.accelerator_tflop_per_second:g} TFLOP/s"


def page(title: str, *parts: str) -> str:
    """Return a page in Markdown."""
    return "\n\n".join([f"# {title}", NOTE, *parts]) + "\n"


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "support.md": support,
    "cli.md": commands,
    "project-file.md": project_file,
    "node-types.md": node_types,
}


def changed() -> Iterator[Path]:
    """Yield the pages that are not what the code says."""
    for name, write in PAGES.items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != write():
            yield path


if __name__ == "__main__":
    for changed_page in list(changed()):
        changed_page.write_text(PAGES[changed_page.name](), encoding="utf-8")
