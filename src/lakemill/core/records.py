"""Frozen data that rooms hand to each other.

Every record is a frozen, slotted, keyword-only dataclass with units in its names. Its identity is
the hash of its content, so that equal work is found again by whoever looks.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from datetime import UTC, date, datetime
from typing import Any, Final, TypeVar, dataclass_transform

from lakemill.core.errors import ConfigError

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field,))
def record(cls: type[T]) -> type[T]:
    """Make a class a record: a frozen, slotted, keyword-only dataclass."""
    return dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(cls)


def to_json(value: Any) -> str:
    """Write a record, or plain data that holds records, as canonical JSON.

    Examples
    --------
    >>> to_json(Resources(cpus=0.5))
    '{"cpus":0.5,"gpus":0.0,"memory_bytes":null}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, date):
        return value.isoformat()
    if callable(value):
        return f"{value.__module__}:{value.__qualname__}"
    raise TypeError(f"{type(value).__name__} has no JSON form")


def content_hash(value: Any) -> str:
    """Return 16 hex digits that name the content of a record.

    Examples
    --------
    >>> content_hash(Resources(cpus=1)) == content_hash(Resources())
    True
    """
    return hashlib.sha256(to_json(value).encode()).hexdigest()[:16]


def utc_now() -> datetime:
    """Return the present instant in UTC; every stored time of Lakemill is UTC."""
    return datetime.now(UTC)


@record
class Resources:
    """What one task or rank asks of a machine.

    Parameters
    ----------
    cpus
        Cores, fractions allowed; BLAS and OpenMP threads are held to ``max(1, floor(cpus))``.
    gpus
        Accelerators, fractions allowed where the engine can share one (Ray).
    memory_bytes
        Resident bytes at which the process that runs the task is killed; None sets no limit.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        """Refuse impossible amounts at birth."""
        object.__setattr__(self, "cpus", float(self.cpus))
        object.__setattr__(self, "gpus", float(self.gpus))
        if self.cpus <= 0 or self.gpus < 0:
            raise ConfigError(f"resources need cpus > 0 and gpus >= 0, got cpus={self.cpus}, gpus={self.gpus}")
        if self.memory_bytes is not None and self.memory_bytes < 2**20:
            raise ConfigError(f"memory_bytes must be at least 1 MiB (1048576), got {self.memory_bytes}")

    @property
    def threads(self) -> int:
        """Threads that a library may start inside the task."""
        return max(1, int(self.cpus))


AUTO: Final = "auto"
"""In place of an engine's kind: the planner's choice."""


@record
class ClusterSpec:
    """A cluster to start here, or one to connect to.

    Parameters
    ----------
    kind
        The engine kind: ``local``, ``ray`` or ``spark``; ``auto`` leaves it to the planner.
    address
        An existing cluster (``spark://head:7077``, ``ray://head:10001``); empty starts one here.
    num_workers
        Worker processes or nodes to start; 0 keeps everything on the driver node.
    cpus_per_worker
        Cores of each worker; None shares the machine's cores out evenly.
    memory_bytes_per_worker
        Memory of each worker; None leaves it to the engine.
    autotermination_minutes
        Idle minutes after which a cluster that was started here stops; 0 never stops it.
    """

    kind: str = "local"
    address: str = ""
    num_workers: int = 0
    cpus_per_worker: int | None = None
    memory_bytes_per_worker: int | None = None
    autotermination_minutes: float = 30.0

    def __post_init__(self) -> None:
        """Refuse impossible clusters at birth."""
        if self.num_workers < 0:
            raise ConfigError(f"num_workers must be 0 or more, got {self.num_workers}")
        if self.cpus_per_worker is not None and self.cpus_per_worker < 1:
            raise ConfigError(f"cpus_per_worker must be 1 or more, got {self.cpus_per_worker}")
        if self.address and self.num_workers:
            raise ConfigError(
                f"a cluster is started here (num_workers={self.num_workers}) or connected to "
                f"(address={self.address}), not both",
                hint="drop num_workers to use the cluster at that address",
            )


@record
class Column:
    """One column: its name, Arrow type as text, and whether it may be null."""

    name: str
    type: str
    nullable: bool = True


@record
class TableRef:
    """A table at one version: all that an engine needs to read it."""

    name: str
    location: str
    version: int
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(c.name for c in self.columns)


@record
class Context:
    """Who acts, and in which run."""

    user: str
    run_id: str = ""
    task_key: str = ""
