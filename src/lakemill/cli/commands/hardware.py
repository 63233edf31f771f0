"""``lakemill hardware``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lakemill.cli.options import JsonOption, TargetOption
from lakemill.cli.output import console, fields, print_json, show, table
from lakemill.cli.wording import ago, duration, size

if TYPE_CHECKING:
    from rich.table import Table

    from lakemill.core.planning import NodeType
    from lakemill.workspace.hardware import Hardware

AgainOption = Annotated[bool, typer.Option("--again", help="Measure anew.")]


def hardware(again: AgainOption = False, target: TargetOption = None, as_json: JsonOption = False) -> None:
    """Show what this machine and its engines cost; measured once, then kept.

    Example:  lakemill hardware --again
    """
    from lakemill.projects import open_workspace
    from lakemill.workspace.planning import this_machine

    with open_workspace(target=target) as workspace, console(stderr=True).status("") as status:
        found = this_machine(workspace, say=lambda what: status.update(f"measuring {what}"), again=again)
    print_json({"hardware": found}) if as_json else _show(found)


def _show(found: Hardware) -> None:
    node = found.node
    show(
        fields(
            [
                ("cores", str(node.cores)),
                ("memory", f"{size(node.memory_bytes)} for work"),
                ("arithmetic", f"{node.flop_per_second / 1e9:,.0f} GFLOP/s in single precision"),
                ("memory copies", f"{size(node.memory_bytes_per_second)}/s"),
                ("all-reduce", _ring(node)),
                ("disk", f"{size(node.disk_bytes_per_second)}/s, written through and read again"),
                ("all cores busy", f"each {node.slowdown_per_busy_core * (node.cores - 1):.0%} slower"),
                ("measured", f"{ago(found.measured_at)} on {found.host}"),
                ("but", _busy(found)),
            ]
        ),
        _lanes(found),
        fields((f"no {kind}", why) for kind, why in found.missing),
    )


def _busy(found: Hardware) -> str:
    if found.quiet:
        return ""
    told = f"other work kept {found.busy_cores:.1f} of {found.node.cores} cores busy"
    return f"{told}: measure again when it is quiet (lakemill hardware --again)"


def _ring(node: NodeType) -> str:
    if not node.ring_bytes_per_second:
        return "not measured"
    return f"{size(node.ring_bytes_per_second)}/s and {node.ring_latency_seconds * 1e6:,.0f} µs a message, between processes"


def _lanes(found: Hardware) -> Table:
    numbers = ("start", "a task", "a GiB through", "work", "driver", "a worker")
    made = table("engine", *numbers, "can", right=numbers)
    for lane in found.lanes:
        made.add_row(
            lane.kind,
            duration(lane.start_seconds.value),
            f"{lane.seconds_per_task.value * 1e3:,.1f} ms",
            duration(through) if (through := lane.seconds_per_byte.value * 2**30) else "",
            f"x {lane.work_factor.value:.1f}" if "frames" in lane.abilities else "",
            size(lane.driver_bytes.value),
            size(lane.worker_bytes.value),
            ", ".join(lane.abilities),
        )
    return made
