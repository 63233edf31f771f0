"""All benchmarks in turn, each in a process of its own: ``python -m benchmarks``.

What they print on the way goes to standard error; standard output is one JSON line for each.
"""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from typing import Final

import benchmarks
from lakemill.engines.tasks import TASK_ENGINES

ARGUMENTS: Final = {"many": tuple(("--engine", kind) for kind in TASK_ENGINES.kinds())}
"""Benchmarks that run more than once, and with what."""


def names() -> list[str]:
    """Return the names of the benchmarks: the modules of this package without an underscore."""
    return [found.name for found in pkgutil.iter_modules(benchmarks.__path__) if not found.name.startswith("_")]


def run(name: str, *arguments: str) -> str | None:
    """Run a benchmark and return its last line, or None if it failed."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    *before, last = done.stdout.splitlines() or [""]
    print(*before, sep="\n", file=sys.stderr)
    return last if done.returncode == 0 else None


def main() -> int:
    """Run them all; return how many failed."""
    runs = [(name, *given) for name in names() for given in ARGUMENTS.get(name, ((),))]
    lines = {each: run(*each) for each in runs}
    failed = [" ".join(each) for each, line in lines.items() if line is None]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    print(*(line for line in lines.values() if line is not None), sep="\n")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
