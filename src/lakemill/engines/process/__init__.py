"""Child processes that can be watched, timed, measured and killed.

User code never runs in a process whose death would cost more than the item in hand: every task
engine and every gang hands its function to a `Worker`, one child process that is reused from call to
call. The parent knows at any instant which item the child works on, so a hang in C code, an
allocation beyond the limit or a SIGKILL ends exactly that item, on a laptop as on a cluster.
"""

from lakemill.engines.process.attempt import Attempt, Failure, Loss
from lakemill.engines.process.life import die_with, peak_bytes, peak_bytes_of_all
from lakemill.engines.process.worker import Call, Limits, Reply, Worker, freeze, thaw

__all__ = [
    "Attempt",
    "Call",
    "Failure",
    "Limits",
    "Loss",
    "Reply",
    "Worker",
    "die_with",
    "freeze",
    "peak_bytes",
    "peak_bytes_of_all",
    "thaw",
]
