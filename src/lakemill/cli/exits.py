"""How a command ends: which code for which error, and what is said of it."""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import Final

from lakemill.core.errors import ConfigError, LakemillError, TaskError
from lakemill.core.records import record


class ExitCode(IntEnum):
    """Exit codes of every command; typer's own for wrong usage and Ctrl-C are the same numbers."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    JOB_FAILED = 3
    BUG = 70
    INTERRUPTED = 130


@record
class Fault:
    """An error as a person or a program is told of it."""

    type: str
    message: str
    hint: str
    exit_code: int


_CODES: Final = ((ConfigError, ExitCode.USAGE), (TaskError, ExitCode.JOB_FAILED))
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_READ_ONLY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def fault_of(error: Exception) -> Fault:
    """Return what to say of an error.

    Examples
    --------
    >>> fault_of(ConfigError("lakemill.yml:1:1: unknown key")).exit_code
    2
    >>> fault_of(OSError(errno.ENOSPC, "No space left on device", "/data")).message
    'No space left on device: /data'
    """
    if isinstance(error, LakemillError):
        code = next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.ERROR)
        return _fault(error, error.message, hint=error.hint, code=code)
    if isinstance(error, OSError):
        return _fault(error, _said(error), hint=_remedy(error), code=ExitCode.ERROR)
    message = f"unexpected {type(error).__name__}: {error}"
    return _fault(error, message, hint="run again with --debug, and report it", code=ExitCode.BUG)


def _fault(error: Exception, message: str, *, hint: str, code: ExitCode) -> Fault:
    return Fault(type=type(error).__name__, message=message, hint=hint, exit_code=int(code))


def _said(error: OSError) -> str:
    return ": ".join(str(part) for part in (error.strerror or error, error.filename) if part is not None)


def _remedy(error: OSError) -> str:
    if error.errno in _FULL:
        return "free some space and run again; finished work is kept"
    if error.errno in _READ_ONLY:
        return "make the folder writable for this user, or work in another one"
    return ""
