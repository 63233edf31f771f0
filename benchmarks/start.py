"""What a command takes beyond Python's own start: ``python -m benchmarks.start [--quick]``.

The project is the demand template with its tables made, on a machine that was measured. In each round
every command is run once, in turn, and so is an interpreter that does nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks._run import bound, figure, machine, report, seconds
from lakemill.projects import init_project, load_project, open_workspace
from lakemill.projects.references import resolve
from lakemill.workspace.planning import this_machine

ROUNDS: Final = 15
BARE: Final = ("-c", "pass")
STEPS: Final = ("ingest", "daily_demand", "features")
GOALS: Final[dict[tuple[str, ...], float | None]] = {
    ("plan", "train"): 1.0,
    ("validate",): None,
    ("tables",): None,
    ("runs",): None,
    ("models",): None,
}
"""The commands, and the most seconds they should take beyond Python's start."""


def make(folder: Path) -> None:
    """Make the project and the tables that its training reads."""
    project = load_project(init_project(folder))
    with open_workspace(project.path) as workspace:
        this_machine(workspace, say=print)
        for step in STEPS:
            print(resolve(f"steps:{step}", str(folder))(workspace))


def taken(arguments: Sequence[str], folder: Path) -> float:
    """Return the seconds of an interpreter with these arguments."""
    command = [sys.executable, *arguments]
    return seconds(partial(subprocess.run, command, cwd=folder, stdout=subprocess.DEVNULL, check=True))


def beyond(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Return the bound of each command's seconds beyond those of the bare interpreter."""
    commands = {given: ("-m", "lakemill", *given) for given in GOALS}
    for each in (BARE, *commands.values()):
        taken(each, folder)  # compiles modules, and counts the groups of the table
    found = [{each: taken(each, folder) for each in (BARE, *commands.values())} for _ in range(rounds)]
    return [
        figure(
            f"lakemill {' '.join(given)}: beyond Python's start",
            bound([one[command] - one[BARE] for one in found]),
            "s",
            goal=GOALS[given],
            raw=median(one[BARE] for one in found),
            n=rounds,
        )
        for given, command in commands.items()
    ]


def main() -> None:
    """Make the project, run the commands and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="two rounds: does it run at all")
    rounds = 2 if parser.parse_args().quick else ROUNDS
    facts = machine()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        report("start", facts, beyond(Path(folder), rounds))


if __name__ == "__main__":
    main()
