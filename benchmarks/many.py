"""Many-model training against a bare loop, the raw engine and StatsForecast.

``python -m benchmarks.many [--engine local|ray|spark] [--groups N] [--rounds N] [--quick]``. Each round runs every
contender once, in turn, over the same groups and fits; ratios are taken within a round. "Fixed" is what a
training of two groups takes: reading the table, starting children, commits. Registration with MLflow
is measured apart.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks._run import bound, figure, machine, report, seconds
from benchmarks._series import (
    SEASON,
    SPAWN,
    Mean,
    bare,
    definition,
    loop_short_series,
    peak_of,
    small_fit,
    table,
    train_short_series,
    workspace_with,
)
from lakemill.core.records import ClusterSpec, Resources
from lakemill.engines.tasks import TASK_ENGINES, TaskEngine
from lakemill.training.many import GroupResult, train
from lakemill.training.many.session import Session
from lakemill.training.many.train import fit_groups

FIT_SECONDS: Final = 0.005
GROUPS: Final = 400
ROUNDS, PEER_ROUNDS = 31, 15
SERIES: Final = 120
LENGTH, HORIZON = 120, 28
CORES: Final = len(os.sched_getaffinity(0))


def burning_fit(rows: pd.DataFrame, *, rounds: int) -> Mean:
    """Fit after so many rounds of work, which takes the same instructions everywhere."""
    total, y = 0.0, float(rows["y"].to_numpy()[0])
    for number in range(rounds):  # of Python's own floats: NumPy's speed depends on where an array lies in memory
        total += y * number % 7.0
    return Mean(total)


def burning(rounds: int) -> Callable[[pd.DataFrame], Mean]:
    """Return `burning_fit` for so many rounds, as a function with a name."""

    def fit(rows: pd.DataFrame) -> Mean:
        return burning_fit(rows, rounds=rounds)

    return fit


def calibrated(rows: pd.DataFrame) -> int:
    """Return how many rounds take `FIT_SECONDS` here."""
    tried = 2_000
    least = min(seconds(partial(burning_fit, rows, rounds=tried)) for _ in range(20))
    return int(tried * FIT_SECONDS / least) + 1


def theta_and_ets(rows: pd.DataFrame) -> GroupResult:
    """Forecast with the models that StatsForecast is given."""
    y = rows["y"].to_numpy()
    means = {str(model): model.forecast(y=y, h=HORIZON)["mean"] for model in peer_models()}
    return GroupResult(tables={"forecasts": pd.DataFrame(means)})


def peer_models() -> list[Any]:
    """Return the models of the comparison."""
    from statsforecast.models import AutoETS, AutoTheta

    return [AutoETS(season_length=SEASON), AutoTheta(season_length=SEASON)]


def ours(data: pa.Table, tasks: TaskEngine, fit: object, **changes: Any) -> float:
    """Return the seconds of fitting and committing all groups; the table is there before."""
    with tempfile.TemporaryDirectory() as folder, workspace_with(data, tasks, Path(folder)) as workspace:
        return seconds(lambda: fit_groups(Session(workspace, definition(fit, **changes))))


def chunks(frame: pd.DataFrame) -> list[list[pd.DataFrame]]:
    """Return the groups in batches, 16 a core, as a careful user would hand them out."""
    groups = [rows for _, rows in frame.groupby("k")]
    size = max(1, len(groups) // (16 * CORES))
    return [groups[start : start + size] for start in range(0, len(groups), size)]


def fit_chunk(fit: Callable[[pd.DataFrame], Any], batch: Sequence[pd.DataFrame]) -> list[Any]:
    """Fit the groups of a batch."""
    return [fit(rows) for rows in batch]


Contender = Callable[[pd.DataFrame], object]


@contextmanager
def raw_local(rounds: int) -> Iterator[Contender]:
    """Open a pool of the standard library; its processes stay up."""
    with SPAWN.Pool(CORES) as pool:
        work = partial(fit_chunk, partial(burning_fit, rounds=rounds))
        yield lambda frame: pool.map(work, chunks(frame), chunksize=1)


@contextmanager
def raw_ray(rounds: int) -> Iterator[Contender]:
    """Use Ray's own tasks, one a batch."""
    import ray

    remote = ray.remote(partial(fit_chunk, partial(burning_fit, rounds=rounds)).func)
    fit = ray.put(partial(burning_fit, rounds=rounds))
    yield lambda frame: ray.get([remote.remote(fit, batch) for batch in chunks(frame)])


@contextmanager
def raw_spark(rounds: int) -> Iterator[Contender]:
    """Use Spark's applyInPandas, one group a call."""
    from pyspark.sql import SparkSession

    def fit(rows: pd.DataFrame) -> pd.DataFrame:
        model = burning_fit(rows, rounds=rounds)
        return pd.DataFrame({"k": rows["k"].iloc[:1], "mean": [model.mean]})

    spark = SparkSession.builder.getOrCreate()
    yield lambda frame: spark.createDataFrame(frame).groupBy("k").applyInPandas(fit, "k long, mean double").toPandas()


RAW: Final = {"local": raw_local, "ray": raw_ray, "spark": raw_spark}


def against_loop(kind: str, tasks: TaskEngine, *, groups: int, rounds: int) -> list[dict[str, Any]]:
    """Overhead and speed-up, beside a bare loop and the raw engine."""
    data, few = table(groups, LENGTH), table(2, LENGTH)
    frame = data.to_pandas()
    burn = calibrated(frame.iloc[:LENGTH])
    fit = burning(burn)
    with RAW[kind](burn) as raw, one_process(kind) as one:
        contenders: dict[str, Callable[[], float]] = {
            "bare": lambda: seconds(lambda: bare(frame, fit)),
            **({} if one is None else {"one": lambda: ours(data, one, fit)}),
            "all": lambda: ours(data, tasks, fit),
            "fixed": lambda: ours(few, tasks, fit),
            "raw": lambda: seconds(lambda: raw(frame)),
        }
        measured = interleaved(contenders, rounds=rounds)
    return loop_figures(measured, n=rounds)


@contextmanager
def one_process(kind: str) -> Iterator[TaskEngine | None]:
    """Give a local engine with one process; a process has one Ray or Spark, so there is no second of these."""
    if kind != "local":
        yield None
        return
    engine = TASK_ENGINES.build({"kind": kind, "spec": ClusterSpec(num_workers=1)})
    yield engine
    engine.close()


def interleaved(contenders: dict[str, Callable[[], float]], *, rounds: int) -> dict[str, Any]:
    """Run every contender once to warm it, then once a round; return its seconds."""
    measured: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for name in np.random.default_rng(number).permutation(list(contenders)):
            measured.setdefault(name, []).append(contenders[name]())
    return {name: np.array(values[1:]) for name, values in measured.items()}


def loop_figures(times: dict[str, Any], *, n: int) -> list[dict[str, Any]]:
    """Return the figures of all rounds; ``times`` holds arrays of shape ``(n,)``, in seconds."""
    fixed = float(np.median(times["fixed"]))
    bare, raw = times["bare"], float(np.median(times["bare"] / times["raw"]))
    speed_up, goal = f"speed-up on {CORES} processes against a bare loop", 1.8 if CORES == 2 else None

    def slower(name: str, ratios: Any, *, goal: float | None = None) -> dict[str, Any]:
        return figure(name, bound(ratios), "ratio", goal=goal, n=n)

    def faster(name: str, ratios: Any, *, goal: float | None = None) -> dict[str, Any]:
        value = bound(ratios, better="higher")
        return figure(name, value, "ratio", goal=goal, better="higher", raw=raw, n=n)

    def median(ratios: Any) -> dict[str, Any]:
        return figure("the same, median of the rounds", float(np.median(ratios)), "ratio", n=n)

    overhead = []
    if "one" in times:
        apart = (times["one"] - fixed) / bare
        overhead = [
            slower("overhead against a bare loop, one process", apart, goal=1.10),
            median(apart),
            slower("overhead, fixed cost included", times["one"] / bare),
        ]
    return [
        *overhead,
        slower("time against the raw engine", times["all"] / times["raw"]),
        slower("time against the raw engine, fixed cost apart", (times["all"] - fixed) / times["raw"]),
        faster(speed_up, bare / (times["all"] - fixed), goal=goal),
        median(bare / (times["all"] - fixed)),
        faster("speed-up, fixed cost included", bare / times["all"]),
        figure("fixed cost of a training, engine up", fixed, "s", n=n),
        figure("seconds of the bare loop", float(np.median(bare)), "s", n=n),
    ]


def against_statsforecast(tasks: TaskEngine, *, rounds: int) -> list[dict[str, Any]]:
    """Wall time beside StatsForecast(n_jobs=2) on the same series and models."""
    from statsforecast import StatsForecast

    data = table(SERIES, LENGTH)
    frame = data.to_pandas().rename(columns={"k": "unique_id", "t": "ds"})
    outputs = {"forecasts": dict.fromkeys(map(str, peer_models()), "float64")}

    def peer() -> float:
        return seconds(lambda: StatsForecast(peer_models(), freq=1, n_jobs=CORES).forecast(df=frame, h=HORIZON))

    few = table(2, LENGTH)
    contenders: dict[str, Callable[[], float]] = {
        "ours": lambda: ours(data, tasks, theta_and_ets, outputs=outputs),
        "fixed": lambda: ours(few, tasks, theta_and_ets, outputs=outputs),
        "peer": peer,
    }
    times = interleaved(contenders, rounds=rounds)
    fixed = float(np.median(times["fixed"]))
    theirs = float(np.median(times["peer"]))
    return [
        figure(
            f"wall time against StatsForecast(n_jobs={CORES})",
            bound(times["ours"] / times["peer"]),
            "ratio",
            goal=1.1,
            peer=theirs,
            n=rounds,
        ),
        figure(
            f"wall time against StatsForecast(n_jobs={CORES}), fixed cost apart",
            bound((times["ours"] - fixed) / times["peer"]),
            "ratio",
            peer=theirs,
            n=rounds,
        ),
        figure("fixed cost of a training with statsforecast", fixed, "s", n=rounds),
    ]


def memory(kind: str, *, series: int) -> list[dict[str, Any]]:
    """Peak memory at ten times the series, driver and children together."""
    small, large = series // 10, series
    few, _ = peak_of(train_short_series, kind, small)
    many, taken = peak_of(train_short_series, kind, large)
    loop_few, _ = peak_of(loop_short_series, kind, small)
    loop_many, loop_taken = peak_of(loop_short_series, kind, large)
    return [
        figure(
            f"peak memory at {large:,} short series to that at {small:,}",
            many.tree_bytes / few.tree_bytes,
            "ratio",
            goal=1.2,
            raw=loop_many.tree_bytes / loop_few.tree_bytes,
        ),
        figure("peak of the driver alone, same ratio", many.process_bytes / few.process_bytes, "ratio"),
        figure(
            f"peak memory at {large:,} short series", many.tree_bytes / 2**20, "MiB", raw=loop_many.tree_bytes / 2**20
        ),
        figure(f"peak of the driver at {large:,} short series", many.process_bytes / 2**20, "MiB"),
        figure(f"seconds of a training of {large:,} short series, registered", taken, "s", raw=loop_taken),
    ]


def registration(tasks: TaskEngine) -> list[dict[str, Any]]:
    """Seconds from the last commit to the registered version."""
    data = table(20, LENGTH)
    with tempfile.TemporaryDirectory() as folder, workspace_with(data, tasks, Path(folder)) as workspace:
        fitted = seconds(lambda: fit_groups(Session(workspace, definition(small_fit))))
        whole = seconds(lambda: train(workspace, definition(small_fit)))
    return [
        figure("registration with MLflow, a new store", whole, "s"),
        figure("a training of 20 groups, before registration", fitted, "s"),
    ]


def main() -> None:
    """Run all parts on one engine and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", default="local", choices=TASK_ENGINES.kinds())
    parser.add_argument("--quick", action="store_true", help="few rounds and few series: does it run at all")
    parser.add_argument("--only", choices=["loop", "peer", "memory", "registration"], help="one part")
    parser.add_argument("--groups", type=int, default=GROUPS, help="groups of the loop")
    parser.add_argument("--rounds", type=int, help="rounds of the loop or of the peer")
    given = parser.parse_args()
    loops, peers = (3, 1) if given.quick else (given.rounds or ROUNDS, given.rounds or PEER_ROUNDS)
    facts = machine()
    tasks = TASK_ENGINES.build({"kind": given.engine, "spec": ClusterSpec(kind=given.engine)})
    startup = seconds(lambda: tasks.slots(Resources()))
    parts: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "loop": lambda: against_loop(given.engine, tasks, groups=given.groups, rounds=loops),
        "peer": lambda: against_statsforecast(tasks, rounds=peers),
        "registration": lambda: registration(tasks),
        "memory": lambda: memory(given.engine, series=5_000 if given.quick else 100_000),
    }
    figures = [figure(f"start of engine {given.engine}", startup, "s")]
    for name, part in parts.items():
        if given.only in (None, name):
            figures += part()
    tasks.close()
    report("many", facts, figures)


if __name__ == "__main__":
    main()
