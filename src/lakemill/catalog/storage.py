"""Errors of disks and object stores, said once in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError

from lakemill.core.errors import LakemillError, StorageError

_HINTS = {
    "(os error 28)": "the disk is full: make room and try again",
    "no space left": "the disk is full: make room and try again",
    "file too large": "a quota or limit on file sizes was reached: raise it and try again",
    "(os error 13)": "make the folder writable for this user",
    "(os error 30)": "the file system is read-only: mount it writable, or choose another root",
    "permission denied": "make the folder writable for this user",
    "read-only": "the file system is read-only: mount it writable, or choose another root",
    "not a directory": "a file is in the way of the table's folder: move it, or choose another root",
    "parquet": "a data file is damaged or isn't Parquet: read an earlier version, or write the table anew",
    "json error": "the table's log is damaged: restore its _delta_log from a backup",
}


@contextmanager
def storage_errors(where: str) -> Iterator[None]:
    """Turn what Arrow and delta-rs raise into `StorageError`.

    Raises
    ------
    StorageError
        If the disk, the store or a file fails; conflicts between commits pass as they are.
    """
    try:
        yield
    except (LakemillError, CommitFailedError):
        raise
    except (DeltaError, OSError, pa.ArrowInvalid) as error:
        reason = str(error).split("\n   0: ")[0].strip()
        raise StorageError(f"{where}: {reason}", hint=_hint(reason)) from error


def _hint(reason: str) -> str:
    text = reason.lower()
    return next((hint for sign, hint in _HINTS.items() if sign in text), "")
