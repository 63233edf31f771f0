"""What the registry knows of models and of their quality."""

from __future__ import annotations

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
    uri
        ``models:/name/version``, for any MLflow client that tracks the same store.
    """

    name: str
    version: int
    run_id: str
    uri: str
    created_at: datetime
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@record
class Evaluation:
    """A figure of quality, on what data, over how many cases.

    Parameters
    ----------
    metric
        Its name.
    value
        Its value; it must be a number.
    data
        What it was measured on, for a person: table, version, days.
    n
        Number of cases behind it.
    higher_is_better
        Its direction.
    """

    metric: str
    value: float
    data: str
    n: int
    higher_is_better: bool = False

    def __post_init__(self) -> None:
        """Refuse what is not a number."""
        if self.value != self.value:
            raise ConfigError(
                f"metric {self.metric} on {self.data} is not a number", hint="nothing could be measured there"
            )


@record
class Decision:
    """Whether a version may be promoted, and why."""

    passed: bool
    reason: str
