"""What every benchmark shares: facts of the machine, bounds of ratios, peaks of memory, the last line."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import numpy as np
import psutil

RESAMPLES: Final = 10_000
SAMPLE_SECONDS: Final = 0.05


def machine() -> dict[str, Any]:
    """Return what the figures were measured on, and how busy it was before."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {
        "cpu": model,
        "cores": len(psutil.Process().cpu_affinity() or [0]),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": [round(load, 1) for load in os.getloadavg()],
    }


def bound(ratios: Sequence[float], *, better: Literal["lower", "higher"] = "lower") -> float:
    """Return the 95 % bound of the median ratio on its unfavourable side, by bootstrap over the pairs.

    Examples
    --------
    >>> bound([1.0, 1.0, 1.0])
    1.0
    """
    values = np.asarray(ratios, dtype=float)
    draws = np.random.default_rng(0).choice(values, size=(RESAMPLES, len(values)))
    return float(np.quantile(np.median(draws, axis=1), 0.95 if better == "lower" else 0.05))


def figure(
    name: str,
    value: float,
    unit: str,
    *,
    goal: float | None = None,
    better: Literal["lower", "higher"] = "lower",
    raw: float | None = None,
    peer: float | None = None,
    n: int = 1,
) -> dict[str, Any]:
    """Return one figure as the last line holds it."""
    figures = {"value": value, "raw": raw, "peer": peer}
    rounded = {key: None if number is None else round(number, 4) for key, number in figures.items()}
    return {"name": name, "unit": unit, "goal": goal, "better": better, "n": n, **rounded}


def report(benchmark: str, facts: dict[str, Any], figures: Sequence[dict[str, Any]]) -> None:
    """Print the last line."""
    print(json.dumps({"benchmark": benchmark, "machine": facts, "figures": list(figures)}))


def seconds(work: Callable[[], object]) -> float:
    """Return the wall-clock seconds of a call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


class Peak:
    """Samples the proportional set size of a process and of its descendants while it is open.

    Parameters
    ----------
    pid
        The process.

    Attributes
    ----------
    process_bytes, tree_bytes
        Largest sample of the process alone, and of it with all its descendants.
    """

    def __init__(self, pid: int) -> None:
        self.process_bytes = self.tree_bytes = 0
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        """Begin to sample."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            try:
                own, below = _pss(self._process), self._process.children(recursive=True)
            except psutil.NoSuchProcess:
                return
            self.process_bytes = max(self.process_bytes, own)
            self.tree_bytes = max(self.tree_bytes, own + sum(map(_pss, below)))


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
