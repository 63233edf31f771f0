"""Training sets to plan: spines with as-of look-ups in feature tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pyarrow as pa

from lakemill import features
from lakemill.features import FeatureLookup, TrainingSet
from lakemill.workspace import Workspace

INSTANTS: Final = 10**12  # microseconds of 12 days


@dataclass(frozen=True)
class Join:
    """A spine of so many rows, and look-ups in feature tables of `each` times as many.

    `keys` is the number of rows for a key, on average; `skew` the exponent by which keys differ in rows; `columns`
    the features of a look-up.
    """

    rows: int
    tables: int
    each: float = 1.0
    keys: int = 50
    skew: float = 0.0
    columns: int = 1

    role: Literal["frames"] = "frames"

    @property
    def name(self) -> str:
        """What its tables are called."""
        shape = (self.rows, self.tables, round(100 * self.each), self.keys, round(10 * self.skew), self.columns)
        return "join_" + "_".join(map(str, shape))

    @property
    def target(self) -> TrainingSet:
        """See `Job.target`."""
        names = [f"main.bench.{self.name}_{number}" for number in range(self.tables)]
        return TrainingSet(
            spine=f"main.bench.{self.name}_spine",
            lookups=[FeatureLookup(table_name=name, lookup_key="key", timestamp_lookup_key="at") for name in names],
        )

    def fill(self, workspace: Workspace, share: float, *, seed: int) -> None:
        """See `Job.fill`."""
        target = self.target
        workspace.catalog.write(target.spine, self._rows(share, seed=seed, values=["label"]), mode="overwrite")
        for number, lookup in enumerate(target.lookups, start=1):
            values = [f"f{number}_{column}" for column in range(self.columns)]
            data = self._rows(share * self.each, seed=seed + 10 * number, values=values)
            if not workspace.catalog.exists(lookup.table_name):
                keys = {"primary_keys": ("key", "at"), "timeseries_column": "at"}
                workspace.catalog.create_table(lookup.table_name, data.schema, **keys)  # type: ignore[arg-type]
            workspace.catalog.write(lookup.table_name, data, mode="overwrite")

    def carry_out(self, workspace: Workspace) -> None:
        """See `Job.carry_out`."""
        features.write_training_set(workspace, self.target, f"main.bench.{self.name}_joined")

    def _rows(self, share: float, *, seed: int, values: Sequence[str]) -> pa.Table:
        """Return rows of a key, an instant and some values."""
        number, random = int(self.rows * share), np.random.default_rng(seed)
        weights = np.arange(1.0, max(2, number // self.keys) + 1) ** -self.skew
        key = np.searchsorted(np.cumsum(weights) / weights.sum(), random.random(number))
        at = pa.array(random.integers(0, INSTANTS, number), pa.timestamp("us", tz="UTC"))
        return pa.table({"key": key, "at": at, **{name: random.random(number) for name in values}})


TAUGHT: Final = (Join(20_000, 2), Join(100_000, 1), Join(200_000, 1, skew=0.5))

JUDGED: Final = (
    Join(160_000, 1),
    Join(160_000, 3),
    Join(200_000, 1, columns=8),
    Join(200_000, 2),
    Join(200_000, 2, skew=0.9),
    Join(400_000, 1, each=4),
    Join(400_000, 3),
    Join(800_000, 1),
    Join(800_000, 1, keys=5_000),
    Join(800_000, 1, skew=0.9),
    Join(800_000, 2, each=0.25, columns=4),
    Join(1_600_000, 1),
    Join(1_600_000, 3, each=0.5),
    Join(3_200_000, 1, each=0.1),
    Join(4_000_000, 2),
)
