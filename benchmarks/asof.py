"""Point-in-time joins: a training set with two look-ups, against DuckDB's own ASOF joins over the same Parquet files.

``python -m benchmarks.asof [million spine rows]``; the answers are compared first.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks._run import bound, figure, machine, report, seconds
from lakemill import features
from lakemill.core.records import Context
from lakemill.features import FeatureLookup, TrainingSet
from lakemill.workspace import Workspace, WorkspaceSettings

MILLION = 10**6
KEYS = 100_000
PAIRS = 5
TABLES = {"price": "main.bench.prices", "stock": "main.bench.stock"}
SPINE = "main.bench.spine"
TRAINING_SET = TrainingSet(
    spine=SPINE,
    lookups=[
        FeatureLookup(table_name=name, lookup_key="key", timestamp_lookup_key="at", rename_outputs={"value": column})
        for column, name in TABLES.items()
    ],
)
TOTALS = "select count(*) as n, sum(label) as label, sum(price) as price, sum(stock) as stock from j"


def rows(number: int, *, seed: int, column: str) -> pa.Table:
    """Return random rows of a key, an instant and a whole number; key and instant are unique together."""
    generator = np.random.default_rng(seed)
    key, second = np.divmod(generator.choice(KEYS * 10_000, number, replace=False, shuffle=False), 10_000)
    at = pa.array(second * MILLION, pa.timestamp("us", tz="UTC"))
    return pa.table({"key": key, "at": at, column: generator.integers(0, 1000, number)})


def prepare(workspace: Workspace, spine_rows: int) -> None:
    """Write the spine, and two feature tables of half its size."""
    workspace.catalog.write(SPINE, rows(spine_rows, seed=0, column="label"))
    for seed, name in enumerate(TABLES.values(), start=1):
        data = rows(spine_rows // 2, seed=seed, column="value")
        features.create_table(workspace, name, data, primary_keys="key", timeseries_column="at")


def ours(workspace: Workspace) -> tuple[object, ...]:
    """Join through the features room and add everything up."""
    joined = workspace.sql(TOTALS, j=features.load(workspace, TRAINING_SET))
    (found,) = workspace.frames.to_arrow(joined).read_all().to_pylist()
    return tuple(found.values())


def raw(workspace: Workspace) -> tuple[object, ...]:
    """Do the same in DuckDB alone."""
    spine, prices, stock = (
        f"read_parquet('{workspace.catalog.ref(name).location}/*.parquet')" for name in (SPINE, *TABLES.values())
    )
    query = (
        f"select s.*, p.value as price, q.value as stock from {spine} s "
        f"asof left join {prices} p on s.key = p.key and s.at >= p.at "
        f"asof left join {stock} q on s.key = q.key and s.at >= q.at"
    )
    with duckdb.connect() as connection:
        (found,) = connection.execute(TOTALS.replace("from j", f"from ({query}) j")).fetchall()
        return tuple(found)


def main() -> None:
    """Measure pairs in turn and print the figures."""
    facts = machine()
    millions = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    with tempfile.TemporaryDirectory() as folder:
        settings = WorkspaceSettings.in_folder("asof", Path(folder))
        with Workspace(settings, context=Context(user="benchmark")) as workspace:
            prepare(workspace, int(millions * MILLION))
            assert ours(workspace) == raw(workspace)
            pairs = [(seconds(lambda: ours(workspace)), seconds(lambda: raw(workspace))) for _ in range(PAIRS)]
    mine, theirs = (sorted(each)[PAIRS // 2] for each in zip(*pairs, strict=True))
    ratio = bound([one / other for one, other in pairs])
    figures = [
        figure("seconds per million rows", mine / millions, "s", raw=theirs / millions, n=PAIRS),
        figure("as-of join against DuckDB's own", ratio, "ratio", n=PAIRS),
    ]
    report("asof", facts, figures)


if __name__ == "__main__":
    main()
