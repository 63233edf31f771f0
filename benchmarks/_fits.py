"""Many-model trainings to plan: fits that burn rounds of arithmetic for each row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks._series import Mean, definition
from lakemill.training.many import ManyTraining, train
from lakemill.workspace import Workspace

ROWS: Final = 40


@dataclass(frozen=True)
class Fits:
    """So many fits, of so many rounds of work a row; `skew` is the exponent by which groups differ in rows."""

    fits: int
    rounds: int
    skew: float = 0.0

    role: Literal["tasks"] = "tasks"

    @property
    def name(self) -> str:
        """What its table and model are called."""
        return f"fits_{self.fits}_{self.rounds}_{round(10 * self.skew)}"

    @property
    def target(self) -> ManyTraining:
        """See `Job.target`."""
        rounds = self.rounds

        def fit(rows: pd.DataFrame) -> Mean:
            return burnt(rows, rounds=rounds)

        made = definition(fit, item_seconds=None)
        return replace(made, training_set=f"main.bench.{self.name}", registered_model=f"main.bench.{self.name}_model")

    def fill(self, workspace: Workspace, share: float, *, seed: int) -> None:
        """See `Job.fill`; a share of the groups, every eighth one where it is an eighth of them."""
        sizes = ROWS * np.arange(1.0, self.fits + 1) ** -self.skew
        sizes = np.maximum(1, np.round(sizes * ROWS / sizes.mean())).astype(int)[seed % 2 :: round(1 / share)]
        k = np.repeat(np.arange(len(sizes)), sizes)
        values = np.random.default_rng(seed).random(len(k))
        rows = pa.table({"k": k, "t": np.arange(len(k)), "y": values})
        workspace.catalog.write(f"main.bench.{self.name}", rows, mode="overwrite")

    def carry_out(self, workspace: Workspace) -> None:
        """See `Job.carry_out`."""
        train(workspace, self.target)


def burnt(rows: pd.DataFrame, *, rounds: int) -> Mean:
    """Fit after so many rounds for each row."""
    total = 0.0
    for number in range(rounds * len(rows)):
        total += number % 7.0
    return Mean(total)


TAUGHT: Final = (Fits(8, 50_000), Fits(48, 6_000, skew=0.5), Fits(128, 700), Fits(400, 150))

JUDGED: Final = (
    Fits(16, 12_000),
    Fits(16, 40_000),
    Fits(16, 120_000),
    Fits(64, 3_000),
    Fits(64, 8_000),
    Fits(64, 24_000),
    Fits(64, 24_000, skew=0.5),
    Fits(64, 60_000),
    Fits(128, 60_000, skew=0.7),
    Fits(256, 400),
    Fits(256, 1_200),
    Fits(256, 3_000),
    Fits(256, 9_000),
    Fits(256, 9_000, skew=0.5),
    Fits(256, 20_000),
    Fits(400, 30_000),
    Fits(1_024, 100),
    Fits(1_024, 300),
    Fits(1_024, 900),
    Fits(1_024, 2_400),
    Fits(1_024, 2_400, skew=0.5),
    Fits(1_024, 16_000),
    Fits(4_096, 30),
    Fits(4_096, 100),
    Fits(4_096, 360),
    Fits(4_096, 800),
)
