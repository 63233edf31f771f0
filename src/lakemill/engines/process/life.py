"""What a child process does about its parent, and what it knows of its own memory."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Final

import psutil

PR_SET_PDEATHSIG: Final = 1


def die_with(parent: int) -> None:
    """Have this process killed when its parent goes; end it now if the parent is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went before the line above
        sys.exit(1)


def reset_peak() -> None:
    """Let the peak of memory begin anew, so that each call has its own."""
    gc.collect(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_bytes_of_all() -> int:
    """Return the largest resident memory so far of this process and of each that it started and that lives, in sum."""
    below = psutil.Process().children(recursive=True)
    return peak_bytes() + sum(peak_bytes(process.pid) for process in below)


def peak_bytes(pid: int | None = None) -> int:
    """Return the largest resident memory of a process so far, of this one by default; 0 when unknown."""
    try:
        lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
