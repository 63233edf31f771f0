"""What a user declares: one model per group of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from lakemill.catalog.names import check_name
from lakemill.core.errors import ConfigError
from lakemill.core.records import Resources, record
from lakemill.features import TrainingSet
from lakemill.registry import Gate

if TYPE_CHECKING:
    import pandas as pd


@record
class GroupResult:
    """What a fit function returns where it has more than a model.

    Parameters
    ----------
    model
        Any object that pickles, with ``predict(rows)``; rows and result are pandas.
    metrics
        Figures of this group's model.
    tables
        Rows for the tables declared in `ManyTraining.outputs`.
    """

    model: Any = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


@record
class ManyTraining:
    """One model for each group of a training set.

    Parameters
    ----------
    training_set
        A training set, or the name of a table.
    by
        Column or columns that name a group.
    time
        Column that orders the rows of a group.
    fit
        A function from a group's rows to a model or `GroupResult`, or a `Forecasting`.
    registered_model
        Three-level name of the model; result tables have it as their prefix.
    outputs
        For a fit function: further result tables, each as column name to Arrow type.
    gate
        What a new version must show before it becomes ``@champion``.
    resources
        What one fit needs.
    item_seconds
        Seconds after which the fit of one group is ended and put into the ledger.

    Raises
    ------
    ConfigError
        If a name is malformed, a limit impossible, or `fit` nothing that fits.
    """

    training_set: TrainingSet | str
    by: str | tuple[str, ...]
    time: str
    fit: Any
    registered_model: str
    outputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    gate: Gate | None = None
    resources: Resources = Resources()
    item_seconds: float | None = 300.0

    def __post_init__(self) -> None:
        """Refuse at birth what can only fail later."""
        check_name(self.registered_model)
        if not self.keys:
            raise ConfigError("by=() names no group", hint='name a column: by="product"')
        if not (callable(self.fit) or hasattr(self.fit, "trained_by")):
            raise ConfigError(
                f"fit must be a function of a group's rows or a declaration, got {type(self.fit).__name__}",
                hint="name the function without calling it, or give lm.Forecasting(...)",
            )
        if self.item_seconds is not None and self.item_seconds <= 0:
            raise ConfigError(f"item_seconds must be more than 0, got {self.item_seconds}")

    @property
    def keys(self) -> tuple[str, ...]:
        """Columns that name a group."""
        return (self.by,) if isinstance(self.by, str) else tuple(self.by)
