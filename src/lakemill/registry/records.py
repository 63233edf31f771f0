"""What the registry knows of models and of their quality."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from types import MappingProxyType

from lakemill.core.errors import ConfigError
from lakemill.core.records import record

NO_TAGS: Mapping[str, str] = MappingProxyType({})


@record
class ModelVersion:
    """One version of a registered model.

    Parameters
    ----------
    run_id
        The MLflow run that made it.
    uri
        ``models:/name/version``, for any MLflow client that tracks the same store.
    aliases
        Aliases that point to it.
    """

    name: str
    version: int
    run_id: str
    uri: str
    created_at: datetime
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@record
class AliasMove:
    """One move of an alias, as its audit keeps it.

    Parameters
    ----------
    before, after
        Versions that had it and have it; None is no version.
    by
        Who moved it.
    run_id
        In which job run.
    back
        Whether it was a rollback.
    """

    alias: str
    before: int | None
    after: int | None
    by: str
    at: datetime
    reason: str
    run_id: str = ""
    back: bool = False


@record
class Evaluation:
    """A figure of quality, on what data, over how many cases.

    Parameters
    ----------
    metric
        Its name.
    value
        Its value, finite.
    of
        Whose it is, for a person: a version, a method.
    data
        What it was measured on, for a person: table, version, days.
    n
        Number of cases behind it.
    higher_is_better
        Its direction.
    """

    metric: str
    value: float
    of: str
    data: str
    n: int
    higher_is_better: bool = False

    def __post_init__(self) -> None:
        """Refuse what is not a finite number."""
        if not math.isfinite(self.value):
            raise ConfigError(
                f"metric {self.metric} on {self.data} is {self.value}, not a finite number",
                hint="nothing could be measured there",
            )


@record
class Decision:
    """Whether a version may be promoted, and why."""

    passed: bool
    reason: str
