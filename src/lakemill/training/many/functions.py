"""The phase that calls a user's fit function."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import cloudpickle
import pyarrow as pa

from lakemill.core.errors import ConfigError, SchemaError, nearest
from lakemill.training.many.definition import GroupResult, ManyTraining
from lakemill.training.many.groups import Group, Phase
from lakemill.training.many.outputs import Columns
from lakemill.training.many.staging import Staging

if TYPE_CHECKING:
    import pandas as pd

ROWS = "rows"
MODELS = pa.schema([("model", pa.binary())])
METRICS = pa.schema([("metric", pa.string()), ("value", pa.float64())])


def fit_phase(definition: ManyTraining) -> Phase:
    """Return the phase that fits every group with the definition's function."""
    declared = {name: _schema(columns) for name, columns in definition.outputs.items()}
    return Phase(
        name="fit",
        by=definition.keys,
        parts={ROWS: Staging.part(ROWS)},
        fn=partial(call, definition.fit, declared),
        outputs={"models": MODELS, "metrics": METRICS, **declared},
    )


def _schema(columns: Mapping[str, str]) -> pa.Schema:
    try:
        return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])
    except ValueError as error:
        raise ConfigError(
            f"outputs={dict(columns)} names an unknown Arrow type: {error}", hint="for example int64, float64, string"
        ) from error


def call(fit: Callable[[pd.DataFrame], Any], declared: Mapping[str, pa.Schema], group: Group) -> dict[str, Columns]:
    """Fit one group and return its rows by output.

    Raises
    ------
    SchemaError
        If the function returns a table or column that was not declared.
    """
    result = fit(group.frame(ROWS))
    result = result if isinstance(result, GroupResult) else GroupResult(model=result)
    rows: dict[str, Columns] = {}
    if result.model is not None:
        rows["models"] = {"model": [_pickled(result.model)]}
    if result.metrics:
        rows["metrics"] = {"metric": list(result.metrics), "value": [float(v) for v in result.metrics.values()]}
    for name, table in result.tables.items():
        rows[name] = _columns(name, table, declared)
    return rows


def _pickled(model: Any) -> bytes:
    try:
        return pickle.dumps(model)
    except (pickle.PicklingError, AttributeError, TypeError):  # of a class that a script or notebook defines
        blob: bytes = cloudpickle.dumps(model)
        return blob


def _columns(name: str, table: Any, declared: Mapping[str, pa.Schema]) -> Columns:
    if name not in declared:
        raise SchemaError(
            f"the fit function returned table {name!r}, which is not declared", hint=nearest(name, declared)
        )
    missing = set(declared[name].names) - set(table.columns)
    if missing:
        raise SchemaError(
            f"table {name!r} of the fit function lacks {sorted(missing)}", hint=f"it has {list(table.columns)}"
        )
    return {column: table[column].to_numpy() for column in declared[name].names}
