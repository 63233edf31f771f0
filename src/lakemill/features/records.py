"""What a training set is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import timedelta

from lakemill.core.errors import ConfigError
from lakemill.core.records import record

Default = int | float | str | bool


@record
class FeatureLookup:
    """Features to look up for each row of a spine.

    Parameters
    ----------
    table_name
        The feature table.
    lookup_key
        Columns of the spine (or of an earlier look-up) that hold the table's primary keys, in
        their order, its time-series column left out.
    feature_names
        Features to take; None takes all.
    rename_outputs
        New names of features.
    timestamp_lookup_key
        The spine's column of time: features are those that were known then, at the latest.
        Needed where the table has a time-series column, and only there.
    lookback_window
        Age, relative to the spine row, above which features count as absent; a timedelta, or
        seconds. Kept as seconds. None: no bound.
    default_values
        By feature: the value where there is none.

    Raises
    ------
    ConfigError
        If there is no key, or the window is negative or has no time to start from.
    """

    table_name: str
    lookup_key: str | Sequence[str]
    feature_names: Sequence[str] | None = None
    rename_outputs: Mapping[str, str] = field(default_factory=dict)
    timestamp_lookup_key: str | None = None
    lookback_window: timedelta | float | None = None
    default_values: Mapping[str, Default] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Bring sequences and times to one form, so that equal look-ups have equal hashes."""
        object.__setattr__(self, "lookup_key", _names(self.lookup_key))
        if self.feature_names is not None:
            object.__setattr__(self, "feature_names", _names(self.feature_names))
        if isinstance(self.lookback_window, timedelta):
            object.__setattr__(self, "lookback_window", self.lookback_window.total_seconds())
        self._check()

    @property
    def keys(self) -> tuple[str, ...]:
        """Columns of the spine that hold the table's primary keys."""
        return _names(self.lookup_key)

    @property
    def lookback_seconds(self) -> float | None:
        """The window in seconds."""
        window = self.lookback_window
        return window.total_seconds() if isinstance(window, timedelta) else window

    def _check(self) -> None:
        if not self.keys:
            raise ConfigError(f"a look-up in {self.table_name} needs a key", hint='lookup_key="product"')
        if self.lookback_seconds is None:
            return
        if self.timestamp_lookup_key is None:
            raise ConfigError(
                f"lookback_window of the look-up in {self.table_name} has no time to start from",
                hint="name the spine's column of time: timestamp_lookup_key=...",
            )
        if self.lookback_seconds < 0:
            raise ConfigError(f"lookback_window must be 0 or more seconds, got {self.lookback_seconds}")


@record
class TrainingSet:
    """Rows with a label, and the features that were known of each at its time.

    Parameters
    ----------
    spine
        The table that holds keys, times and labels.
    lookups
        Features to add, in this order.
    label
        The column to learn; empty where there is none.
    exclude_columns
        Columns to leave out once everything is joined, such as keys.
    """

    spine: str
    lookups: Sequence[FeatureLookup] = ()
    label: str = ""
    exclude_columns: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Bring sequences to one form, so that equal training sets have equal hashes."""
        object.__setattr__(self, "lookups", tuple(self.lookups))
        object.__setattr__(self, "exclude_columns", _names(self.exclude_columns))


def as_training_set(value: TrainingSet | str) -> TrainingSet:
    """Return a training set; the name of a table stands for that table alone.

    Examples
    --------
    >>> as_training_set("main.retail.sales").spine
    'main.retail.sales'
    """
    return TrainingSet(spine=value) if isinstance(value, str) else value


def _names(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
