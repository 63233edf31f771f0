"""The demand example as a newcomer runs it: accuracy on the held-out days, time and memory.

``python -m benchmarks.demand [--folder DIR] [--engine local|ray|spark]``. The project is made and run
by the command line, in processes of its own. The mix is compared with each single method on the
products that both forecast; the bounds are a paired bootstrap over products, which knows nothing of
shocks that hit all products on one day.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

import lakemill as lm
from benchmarks._run import RESAMPLES, Peak, figure, machine, report
from lakemill.engines.tasks import TASK_ENGINES

MIX: Final = "mix"
NAIVE: Final = "seasonal_naive"
WHOLE: Final = 0.99
"""Share of the weight from which a method counts as fitted everywhere."""
SECONDS_GOAL: Final = 480
MIB_GOAL: Final = 4096


def run_job(project: Path, *, engine: str) -> tuple[float, Peak]:
    """Make the project and run its job; return the seconds of the run and its peak of memory."""
    command = [sys.executable, "-m", "lakemill"]
    subprocess.run([*command, "init", str(project), "--template", "demand"], stdout=sys.stderr, check=True)
    started = time.perf_counter()
    job = [*command, "run", "demand", "--engine", engine]
    with subprocess.Popen(job, cwd=project, stdout=sys.stderr) as child, Peak(child.pid) as peak:
        code = child.wait()
    if code:
        raise SystemExit(f"the job ended with exit code {code}")
    return time.perf_counter() - started, peak


def accuracy_of(project: Path) -> pd.DataFrame:
    """Return the held-out accuracy of every product and method."""
    with lm.open(project) as ws:
        return ws.table("main.retail.demand_accuracy").to_pandas()


class Errors:
    """Weighted RMSSE of the methods, in pairs with the mix.

    Parameters
    ----------
    accuracy
        A row for each product and method: ``rmsse`` and ``weight``.
    """

    def __init__(self, accuracy: pd.DataFrame) -> None:
        measured = accuracy.dropna(subset="rmsse").query("weight > 0")
        self._rmsse = measured.pivot_table(index="product", columns="method", values="rmsse")
        self._weight = measured.groupby("product")["weight"].first()
        self.methods = [name for name in self._rmsse.columns if name != MIX]

    def pair(self, method: str) -> pd.DataFrame:
        """Return weighted errors of the mix and of a method on the products that have both."""
        both = self._rmsse[[MIX, method]].dropna()
        return both.mul(self._weight[both.index], axis=0)

    def mean(self, name: str, method: str) -> float:
        """Return the weighted RMSSE of one of a pair."""
        pair = self.pair(method)
        return float(pair[name].sum() / self._weight[pair.index].sum())

    def ratio(self, method: str) -> float:
        """Return the error of the mix over that of a method."""
        total = self.pair(method).sum()
        return float(total[MIX] / total[method])

    def bounds(self, method: str) -> tuple[float, float]:
        """Return the 95 % bounds of that ratio below and above, by bootstrap over products."""
        mix, other = (self.pair(method)[name].to_numpy() for name in (MIX, method))
        rng = np.random.default_rng(0)
        draws = (rng.integers(0, len(mix), len(mix)) for _ in range(RESAMPLES))
        ratios = [mix[draw].sum() / other[draw].sum() for draw in draws]
        return float(np.quantile(ratios, 0.025)), float(np.quantile(ratios, 0.975))

    def best(self) -> str:
        """Return the best of the methods that were fitted everywhere."""
        everywhere = [name for name in self.methods if self._share(name) >= WHOLE]
        return max(everywhere, key=self.ratio)

    def _share(self, method: str) -> float:
        return float(self._weight[self.pair(method).index].sum() / self._weight.sum())


def accuracy_figures(accuracy: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the figures of accuracy, each method's beside the mix's on the same products."""
    errors = Errors(accuracy)
    best = errors.best()
    low, high = errors.bounds(best)
    products = len(errors.pair(best))
    own = [
        figure(f"wRMSSE of {name}", errors.mean(name, name), "", peer=errors.mean(MIX, name), n=len(errors.pair(name)))
        for name in errors.methods
    ]
    return [
        figure("wRMSSE of the mix", errors.mean(MIX, best), "", peer=errors.mean(best, best), n=products),
        figure(f"wRMSSE, mix to the best single method, {best}", errors.ratio(best), "ratio", goal=0.97, n=products),
        figure("the same, lower 95 % bound over products", low, "ratio", n=products),
        figure("the same, upper 95 % bound over products", high, "ratio", n=products),
        figure("wRMSSE, mix to seasonal naive", errors.ratio(NAIVE), "ratio", n=len(errors.pair(NAIVE))),
        *own,
    ]


def mix_figures(accuracy: pd.DataFrame) -> list[dict[str, Any]]:
    """Return bias and coverage of the mix, over all products that were on sale before the held-out days."""
    mix = accuracy[accuracy["method"] == MIX]
    n = len(mix)
    return [
        figure("bias of the mix in units", mix["forecast_units"].sum() / mix["actual_units"].sum() - 1, "share", n=n),
        *(
            figure(f"product-days inside the {level} % interval", mix[f"inside_{level}"].mean(), "share", n=n)
            for level in (80, 95)
        ),
    ]


def main() -> None:
    """Run the job and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, help="where the project goes and stays; it must not exist")
    parser.add_argument("--engine", default="local", choices=TASK_ENGINES.kinds())
    given = parser.parse_args()
    facts = machine()
    with tempfile.TemporaryDirectory() as folder:
        project = given.folder or Path(folder) / "demand"
        seconds, peak = run_job(project, engine=given.engine)
        accuracy = accuracy_of(project)
    figures = [
        *accuracy_figures(accuracy),
        *mix_figures(accuracy),
        figure("seconds of the whole job", seconds, "s", goal=SECONDS_GOAL),
        figure("peak memory of the whole job", peak.tree_bytes / 2**20, "MiB", goal=MIB_GOAL),
        figure("products that were measured", accuracy["product"].nunique(), "", better="higher"),
    ]
    report("demand", facts, figures)


if __name__ == "__main__":
    main()
