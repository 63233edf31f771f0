"""One LightGBM model for all series: features as of the origin's morning, the step among them.

The label is divided by the series' usual change and clipped, since an average of roots saturates in
the spikes; rows weigh as the average weighs them.

References
----------
Montero-Manso, Hyndman (2021), Principles and algorithms for forecasting groups of time series,
International Journal of Forecasting 37(4). Ke et al. (2017), LightGBM, NeurIPS.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import lightgbm
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lakemill.core.records import record
from lakemill.engines.process import Attempt
from lakemill.training.forecasting.choice import Array
from lakemill.training.forecasting.grid import EVERY, STEP_CYCLE

PARAMETERS: Final[dict[str, Any]] = {
    "objective": "tweedie",
    "tweedie_variance_power": 1.5,
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 200,
    "lambda_l2": 10.0,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 7,
    "verbose": -1,
}
ROUNDS: Final = 150
CLIP: Final = 6.0
LEAST_SEEN: Final = 14
MAX_ROWS: Final = 1_500_000
NOT_FEATURES: Final = frozenset({"origin", "scale", "weight", "label"})


@record
class GlobalFit:
    """One fit of the global model: what it may learn from, and where it forecasts.

    Parameters
    ----------
    samples
        Parquet file of samples, ordered by origin, step and series.
    folder
        Where forecasts and model go.
    keys, time
        Columns that are no features.
    origin
        The origin of the forecast; labels of later days are not read.
    horizon
        Steps of the forecast.
    """

    samples: str
    folder: str
    keys: tuple[str, ...]
    time: str
    origin: int
    horizon: int

    @property
    def forecasts(self) -> Path:
        """Parquet file of the forecasts."""
        return Path(self.folder) / f"{self.origin:06d}.parquet"

    @property
    def model(self) -> Path:
        """Text of the fitted model."""
        return Path(self.folder) / f"{self.origin:06d}.txt"


def fit_global(fit: GlobalFit, _attempt: Attempt) -> int:
    """Learn from origins whose whole horizon is past, forecast at the origin; return the rows learnt from."""
    known = pq.read_table(fit.samples, filters=pc.field("origin") <= fit.origin - fit.horizon)
    rows = _teaching(known)
    names = [name for name in rows.column_names if name not in {*NOT_FEATURES, *fit.keys, fit.time}]
    booster = lightgbm.train(PARAMETERS, _dataset(rows, names), ROUNDS)
    asked = pq.read_table(fit.samples, filters=pc.field("origin") == fit.origin)
    value = np.maximum(booster.predict(_matrix(asked, names), num_threads=1), 0) * _numbers(asked, "scale")
    table = asked.select([*fit.keys, "origin", "step"]).append_column("value", pa.array(value))
    _write(fit, table, booster.model_to_string())
    return int(rows.num_rows)


def _teaching(known: pa.Table) -> pa.Table:
    """Keep rows that matter and have history; thin them out where there are very many."""
    cycle = np.mod(_numbers(known, "origin") // EVERY, STEP_CYCLE)
    keep = (np.mod(_numbers(known, "step"), STEP_CYCLE) == cycle) & (_numbers(known, "seen") >= LEAST_SEEN)
    rows = np.flatnonzero(keep & (_numbers(known, "weight") > 0))
    return known.take(rows[:: 1 + len(rows) // MAX_ROWS])


def _dataset(rows: pa.Table, names: list[str]) -> lightgbm.Dataset:
    label = np.minimum(_numbers(rows, "label") / _numbers(rows, "scale"), CLIP)
    return lightgbm.Dataset(_matrix(rows, names), label, weight=_weights(rows), feature_name=names)


def _weights(rows: pa.Table) -> Array:
    """Return weights that sum to the same at every origin."""
    weight, origin = _numbers(rows, "weight"), _numbers(rows, "origin").astype(int)
    share: Array = 1000 * weight / np.bincount(origin, weights=weight)[origin]
    return share


def _matrix(rows: pa.Table, names: list[str]) -> Any:
    matrix = np.empty((rows.num_rows, len(names)), dtype=np.float32)
    for number, name in enumerate(names):
        matrix[:, number] = rows[name].cast(pa.float32(), safe=False).to_numpy()
    return matrix


def _numbers(rows: pa.Table, name: str) -> Array:
    column: Array = rows[name].cast(pa.float64()).to_numpy()
    return column


def _write(fit: GlobalFit, table: pa.Table, text: str) -> None:
    """Write model and forecasts, each whole or not at all, the forecasts last: they say that all is there."""
    fit.model.parent.mkdir(parents=True, exist_ok=True)
    draft = fit.model.with_name(f".{uuid4().hex}")
    draft.write_text(text)
    draft.replace(fit.model)
    pq.write_table(table, draft)
    draft.replace(fit.forecasts)
