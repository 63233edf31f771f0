"""A look-up checked against the spine and the feature table, before anything is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from lakemill.catalog import TableInfo
from lakemill.catalog.types import table_schema
from lakemill.core.errors import ConfigError, SchemaError, nearest
from lakemill.core.records import TableRef, record
from lakemill.features.records import Default, FeatureLookup

Pairs = tuple[tuple[str, str], ...]

_INTEGERS = {"int8", "int16", "int32", "int64"}
_TIMES = {"date32[day]", "timestamp[us, tz=UTC]"}
_WITH_DEFAULT = {
    "bool": (pa.bool_(), "boolean"),
    "int8": (pa.int8(), "tinyint"),
    "int16": (pa.int16(), "smallint"),
    "int32": (pa.int32(), "int"),
    "int64": (pa.int64(), "bigint"),
    "float": (pa.float32(), "float"),
    "double": (pa.float64(), "double"),
    "string": (pa.string(), "string"),
}


@record
class Join:
    """What a look-up comes to.

    Parameters
    ----------
    ref
        The version of the feature table that is read.
    keys
        Pairs of columns that must be equal: spine, feature table.
    times
        The spine's time and the feature table's; None joins by key alone.
    columns
        Pairs: feature, name in the training set.
    lookback_seconds
        Age above which features count as absent.
    added
        Type of each new column.
    defaults
        SQL value of each new column that has a default.
    """

    ref: TableRef
    keys: Pairs
    times: tuple[str, str] | None
    columns: Pairs
    lookback_seconds: float | None
    added: Mapping[str, str]
    defaults: Mapping[str, str]


def plan(lookup: FeatureLookup, info: TableInfo, ref: TableRef, *, columns: Mapping[str, str]) -> Join:
    """Check a look-up against its table and the columns that the spine has by now.

    Raises
    ------
    SchemaError
        If a key, a time or a feature is missing or of another type, or a default does not fit.
    ConfigError
        If keys and time are not those of the table, or a new column has a name that is taken.
    """
    types = {column.name: column.type for column in ref.columns}
    keys, times = _keys(lookup, info), _times(lookup, info)
    features = _features(lookup, info, list(types))
    added = {name: types[feature] for feature, name in features}
    _check_names(list(added), columns, table=info.name)
    for spine, feature in [*keys, *([times] if times else [])]:
        _check_pair(spine, feature, columns=columns, types=types, table=info.name)
    return Join(
        ref=ref,
        keys=keys,
        times=times,
        columns=features,
        lookback_seconds=lookup.lookback_seconds,
        added=added,
        defaults=_defaults(lookup, features, added=added),
    )


def check_spine(name: str, columns: Iterable[str], *, what: str) -> None:
    """Refuse a name that the spine does not have.

    Raises
    ------
    SchemaError
        With what it was for, and the nearest column.
    """
    if name not in columns:
        raise SchemaError(f"{what} {name!r} is not among the columns of the spine", hint=nearest(name, columns))


def column_types(schema: pa.Schema) -> dict[str, str]:
    """Return the columns with their types, as a table would have them, in words."""
    return {field.name: _type(field) for field in schema}


def _type(field: pa.Field) -> str:
    try:
        return str(table_schema(pa.schema([field])).field(0).type)
    except SchemaError:
        return str(field.type)


def _keys(lookup: FeatureLookup, info: TableInfo) -> Pairs:
    own = [key for key in info.primary_keys if key != info.timeseries_column]
    if not own:
        raise ConfigError(
            f"table {info.name} has no primary keys to look up by", hint="features.create_table() makes feature tables"
        )
    if len(own) != len(lookup.keys):
        raise ConfigError(
            f"feature table {info.name} has the keys ({', '.join(own)}), lookup_key names ({', '.join(lookup.keys)})",
            hint="name one column of the spine for each key, in their order",
        )
    return tuple(zip(lookup.keys, own, strict=True))


def _times(lookup: FeatureLookup, info: TableInfo) -> tuple[str, str] | None:
    asked, own = lookup.timestamp_lookup_key, info.timeseries_column
    if asked and own:
        return asked, own
    if own:
        raise ConfigError(
            f"feature table {info.name} has a row for each {own}: as of which time are its features wanted?",
            hint="name the spine's column of time: timestamp_lookup_key=...",
        )
    if asked:
        raise ConfigError(
            f"feature table {info.name} has no time-series column to compare {asked!r} with",
            hint="leave timestamp_lookup_key out, or create the table with timeseries_column=...",
        )
    return None


def _features(lookup: FeatureLookup, info: TableInfo, columns: Sequence[str]) -> Pairs:
    known = [name for name in columns if name not in info.primary_keys]
    wanted = known if lookup.feature_names is None else lookup.feature_names
    for name in [*wanted, *lookup.rename_outputs]:
        if name not in known:
            raise SchemaError(f"feature table {info.name} has no feature {name!r}", hint=nearest(name, known))
    return tuple((name, lookup.rename_outputs.get(name, name)) for name in wanted)


def _check_names(new: Sequence[str], columns: Mapping[str, str], *, table: str) -> None:
    taken = {name.lower() for name in columns}
    for name in new:
        if name.lower() in taken:
            raise ConfigError(
                f"feature {name!r} of {table} has the name of a column that is there",
                hint=f'rename it: rename_outputs={{"{name}": "..."}}',
            )
        taken.add(name.lower())


def _check_pair(spine: str, feature: str, *, columns: Mapping[str, str], types: Mapping[str, str], table: str) -> None:
    check_spine(spine, columns, what="look-up key or time")
    found, wanted = columns[spine], types[feature]
    if found != wanted and not any({found, wanted} <= alike for alike in (_INTEGERS, _TIMES)):
        raise SchemaError(
            f"column {spine!r} of the spine is {found}, {feature!r} of feature table {table} is {wanted}",
            hint="cast the spine's column",
        )


def _defaults(lookup: FeatureLookup, features: Pairs, *, added: Mapping[str, str]) -> dict[str, str]:
    names = dict(features)
    for feature in lookup.default_values:
        if feature not in names:
            raise SchemaError(
                f"a default is given for {feature!r}, which is not looked up", hint=nearest(feature, names)
            )
    return {names[feature]: _literal(value, names[feature], added) for feature, value in lookup.default_values.items()}


def _literal(value: Default, name: str, added: Mapping[str, str]) -> str:
    """Write a default as SQL of the column's own type: else it could widen the column."""
    try:
        kind, sql = _WITH_DEFAULT[added[name]]
        exact = pa.array([value]).cast(kind) if kind != pa.string() else pa.array([value], kind)
    except (KeyError, pa.ArrowException) as error:
        raise SchemaError(f"default {value!r} does not fit column {name!r} of type {added[name]}") from error
    text = str(exact[0].as_py()).replace("'", "''")
    return f"cast('{text}' as {sql})"
