"""Errors that say what happened, what was found, what is allowed and what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class LakemillError(Exception):
    """Base of every error that Lakemill raises on purpose.

    Parameters
    ----------
    message
        What happened: what was expected and what was found.
    hint
        What to do next, in one sentence.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Join message and hint on two lines."""
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the hint when the error crosses a process border."""
        return _rebuild, (type(self), self.message, self.hint)


def _rebuild(kind: type[LakemillError], message: str, hint: str) -> LakemillError:
    return kind(message, hint=hint)


class ConfigError(LakemillError, ValueError):
    """The project file or an argument is wrong."""


class NotFoundError(LakemillError, LookupError):
    """A table, model, version, job or task does not exist."""


class AlreadyExistsError(LakemillError):
    """A thing with that name is there already."""


class SchemaError(LakemillError, ValueError):
    """A column is missing, has another type, or may not be added."""


class DuplicateKeyError(LakemillError, ValueError):
    """Rows that must be unique by key are not."""


class ConflictError(LakemillError):
    """Another writer got there first, also after the retries."""


class MissingExtraError(LakemillError, ImportError):
    """An optional package is not installed."""


class UnsupportedError(LakemillError):
    """A kind of engine or store cannot do it."""


class StorageError(LakemillError, OSError):
    """A folder is read-only, a disk is full, a file is not what it claims."""


class EngineError(LakemillError, RuntimeError):
    """An engine cannot start, cannot be reached, or has less than a task asks for."""


class TaskError(LakemillError, RuntimeError):
    """User code, or the process that ran it, failed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest known name, or all of them if none is near.

    Examples
    --------
    >>> nearest("main.retail.sale", ["main.retail.sales", "main.web.hits"])
    'did you mean main.retail.sales?'
    >>> nearest("x", ["local", "ray"])
    'known: local, ray'
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(names[:20]) or 'none'}"
