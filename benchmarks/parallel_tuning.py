"""What parallelism costs a search that learns: Optuna's TPE with k trials in flight against one after another.

``python -m benchmarks.parallel_tuning [--seeds 3] [--write]``. Trials take lognormal times, and each is drawn from
the results that are there when a worker is free. Quality is the share of the space that is better than the best
found, by rank among random points; the figure is the share of its trials that a sequential search needs for the same
quality. ``--write`` replaces the table that the advice reads.
"""

from __future__ import annotations

import argparse
import csv
import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution

from benchmarks._landscapes import Array, Landscape, landscapes
from benchmarks._run import figure, machine, report

TRIALS: Final = (16, 32, 64, 128, 256)
PARALLEL: Final = (4, 16, 64)
WITHOUT_LIAR: Final = (64,)
SEQUENTIAL_TRIALS: Final = 384
REFERENCE_POINTS: Final = 2**19
SPREAD: Final = 0.5
RESAMPLES: Final = 2_000
TABLE: Final = Path(str(files("lakemill.planner.advice"))) / "tuning_evidence.csv"


@dataclass(frozen=True)
class Setting:
    """So many trials in flight, and whether those count as bad while they run (Optuna's `constant_liar`)."""

    parallel: int
    liar: bool = True


ALONE: Final = Setting(1)
SETTINGS: Final = (*map(Setting, PARALLEL), *(Setting(k, liar=False) for k in WITHOUT_LIAR))
Seeds = np.ndarray[Any, np.dtype[np.intp]]
Curves = Mapping[Setting, Array]
"""Logarithms of quality by setting, of shape (n_seeds, n_trials), on one landscape."""


def search(landscape: Landscape, setting: Setting, *, trials: int, seed: int) -> Array:
    """Return the best loss after each trial, in the order of their starts."""
    space: dict[str, BaseDistribution] = {f"x{i}": FloatDistribution(0, 1) for i in range(landscape.dims)}
    sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=setting.liar)
    study = optuna.create_study(sampler=sampler)
    seconds = np.random.default_rng(seed).lognormal(sigma=SPREAD, size=trials)
    losses, running = np.empty(trials), list[tuple[float, int]]()
    for number in range(trials):
        now = 0.0
        if len(running) == setting.parallel:
            now, ended = heapq.heappop(running)
            study.tell(ended, losses[ended])
        point = study.ask(space).params
        losses[number] = landscape.loss(np.array([[point[name] for name in space]]))[0]
        heapq.heappush(running, (now + seconds[number], number))
    return np.minimum.accumulate(losses)


def reference(landscape: Landscape) -> Array:
    """Return the losses of random points, the best first."""
    points = np.random.default_rng(0).random((REFERENCE_POINTS, landscape.dims))
    return np.sort(landscape.loss(points))


def log_quality(losses: Array, among: Array) -> Array:
    """Return the logarithm of the share of the space that is better."""
    return np.log((np.searchsorted(among, losses) + 1) / (len(among) + 1))


def curves(landscape: Landscape, seeds: int) -> Curves:
    """Search a landscape in every setting."""
    among = reference(landscape)
    lengths = {ALONE: SEQUENTIAL_TRIALS} | dict.fromkeys(SETTINGS, TRIALS[-1])
    return {
        setting: np.array([log_quality(search(landscape, setting, trials=n, seed=s), among) for s in range(seeds)])
        for setting, n in lengths.items()
    }


def trials_for(target: float, curve: Array) -> float:
    """Return after how many trials a curve first reaches a quality, between its own by interpolation."""
    reached, first = np.unique(-curve, return_index=True)
    return float(np.exp(np.interp(-target, reached, np.log(first + 1))))


def log_share(found: Curves, setting: Setting, trials: int, seeds: Seeds) -> float:
    """Return the logarithm of the share of its trials that a sequential search needs for the same."""
    alone = found[ALONE][seeds].mean(axis=0)
    together = found[setting][seeds, trials - 1].mean()
    return math.log(trials_for(together, alone) / trials_for(alone[trials - 1], alone))


def random_trials(quality: float) -> float:
    """Return how many random trials find as much: the least of n uniforms has a mean log of minus 1 + 1/2 + ... + 1/n."""
    return max(1.0, math.exp(-quality - np.euler_gamma) - 0.5)


@dataclass(frozen=True)
class Row:
    """A line of the table: the mean share with its 90 % bounds, the bounds of single landscapes, random search."""

    liar: bool
    trials: int
    parallel: int
    share: float
    share_low: float
    share_high: float
    one_low: float
    one_high: float
    random_factor: float


def row(found: Sequence[Curves], setting: Setting, trials: int) -> Row:
    """Sum up all landscapes, with a bootstrap over landscapes and over the seeds of each."""
    generator = np.random.default_rng(0)
    seeds = len(found[0][ALONE])
    everyone = np.arange(seeds)
    drawn = np.array(
        [
            [log_share(one, setting, trials, generator.integers(seeds, size=seeds)) for _ in range(RESAMPLES // 10)]
            for one in found
        ]
    )
    means = [
        drawn[picked, generator.integers(drawn.shape[1], size=len(found))].mean()
        for picked in generator.integers(len(found), size=(RESAMPLES, len(found)))
    ]
    own = [log_share(one, setting, trials, everyone) for one in found]
    quality = float(np.mean([one[setting][:, trials - 1].mean() for one in found]))
    logs = [np.mean(own), *np.quantile(means, (0.05, 0.95)), *np.quantile(drawn, (0.05, 0.95))]
    share, share_low, share_high, one_low, one_high = (round(math.exp(each), 3) for each in logs)
    return Row(
        liar=setting.liar,
        trials=trials,
        parallel=setting.parallel,
        share=share,
        share_low=share_low,
        share_high=share_high,
        one_low=one_low,
        one_high=one_high,
        random_factor=round(random_trials(quality) / trials, 2),
    )


def rows(found: Sequence[Curves]) -> Iterator[Row]:
    """Return the table."""
    for setting in (ALONE, *SETTINGS):
        for trials in TRIALS:
            if setting.parallel <= trials:
                yield row(found, setting, trials)


def write(table: Sequence[Row], *, seeds: int, names: Sequence[str]) -> None:
    """Replace the table that ships."""
    told = f"# {datetime.now(UTC).date()}, Optuna {optuna.__version__}, python -m benchmarks.parallel_tuning --seeds {seeds}"
    with TABLE.open("w", newline="") as file:
        file.write(f"{told} --write; {', '.join(names)}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row.__dataclass_fields__)
        writer.writerows([int(r.liar), *list(vars(r).values())[1:]] for r in table)


def held_out(found: Sequence[Curves]) -> tuple[int, int]:
    """Return how often a landscape's share lies within the bounds that the others give for one, and of how many."""
    everyone = np.arange(len(found[0][ALONE]))
    inside = [
        bounds.one_low <= math.exp(log_share(one, setting, trials, everyone)) <= bounds.one_high
        for number, one in enumerate(found)
        for setting in SETTINGS[: len(PARALLEL)]
        for trials in (64, 256)
        for bounds in [row([*found[:number], *found[number + 1 :]], setting, trials)]
    ]
    return sum(inside), len(inside)


def main() -> None:
    """Search every landscape in every setting, sum up, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    facts = machine()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    every = list(landscapes())
    found = [curves(landscape, arguments.seeds) for landscape in every]
    table = list(rows(found))
    if arguments.write:
        write(table, seeds=arguments.seeds, names=[landscape.name for landscape in every])
    inside, of = held_out(found)
    report(
        "parallel_tuning",
        facts,
        [*map(_figure, table), figure("held-out landscapes inside", inside / of, "share", n=of)],
    )


def _figure(one: Row) -> dict[str, Any]:
    liar = "" if one.liar else ", no constant liar"
    name = f"{one.trials} trials, {one.parallel} at once{liar}: share of them that one after another needs"
    return figure(name, one.share, "share", better="higher")


if __name__ == "__main__":
    main()
