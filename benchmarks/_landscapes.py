"""Losses over hyperparameters: published test functions, and models on scikit-learn's own tables over a grid."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import lightgbm
import numpy as np
from scipy.interpolate import RegularGridInterpolator
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss, mean_squared_error, roc_auc_score
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

Array = np.ndarray[Any, np.dtype[np.float64]]
Loss = Callable[[Array], Array]

FOLDS: Final = 3
ROUNDS: Final = (5, 10, 20, 40, 80)
"""Boosting rounds at which a LightGBM is judged on its way."""


@dataclass(frozen=True)
class Landscape:
    """A loss on the unit cube: points of shape (n_points, dims) to losses of shape (n_points,)."""

    name: str
    dims: int
    loss: Loss


def landscapes() -> Iterator[Landscape]:
    """Return them all; the grids are trained on the way, which takes a minute or two."""
    yield Landscape("branin", 2, branin)
    yield Landscape("hartmann3", 3, hartmann3)
    yield Landscape("hartmann6", 6, hartmann6)
    yield Landscape("rosenbrock", 4, rosenbrock)
    yield Landscape("styblinski-tang", 5, styblinski_tang)
    cancer, diabetes = load_breast_cancer(return_X_y=True), load_diabetes(return_X_y=True)
    yield gridded(
        "svc on cancer", {"C": 10 ** np.linspace(-2, 4, 16), "gamma": 10 ** np.linspace(-6, 1, 16)}, _svc, cancer
    )
    yield gridded(
        "svr on diabetes",
        {"C": 10 ** np.linspace(-1, 4, 10), "gamma": 10 ** np.linspace(-5, 1, 10), "epsilon": np.linspace(0, 80, 5)},
        _svr,
        diabetes,
    )
    yield gridded(
        "sgd on cancer",
        {"alpha": 10 ** np.linspace(-6, 1, 10), "l1_ratio": np.linspace(0, 1, 5), "eta0": 10 ** np.linspace(-4, 0, 8)},
        _sgd,
        cancer,
    )
    for name, table, objective in (("cancer", cancer, "binary"), ("diabetes", diabetes, "l2")):
        yield gridded(f"lightgbm on {name}", BOOSTED, _lightgbm(objective), table, last=ROUNDS)


def branin(points: Array) -> Array:
    """Return Branin's function; see Dixon, Szegö (1978), Towards global optimization 2."""
    x, y = points[:, 0] * 15 - 5, points[:, 1] * 15
    bowl = (y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6) ** 2
    return bowl + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10


HEIGHTS: Final = np.array([1.0, 1.2, 3.0, 3.2])
WIDTHS_3: Final = np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]])
CENTRES_3: Final = 1e-4 * np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]])
WIDTHS_6: Final = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
CENTRES_6: Final = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann3(points: Array) -> Array:
    """Return Hartmann's function of 3 variables; see Dixon, Szegö (1978)."""
    return _hartmann(points, WIDTHS_3, CENTRES_3)


def hartmann6(points: Array) -> Array:
    """Return Hartmann's function of 6 variables; see Dixon, Szegö (1978)."""
    return _hartmann(points, WIDTHS_6, CENTRES_6)


def _hartmann(points: Array, widths: Array, centres: Array) -> Array:
    inner = sum(widths[:, i] * (points[:, i, None] - centres[:, i]) ** 2 for i in range(points.shape[1]))
    return np.asarray(-(np.exp(-inner) @ HEIGHTS))


def rosenbrock(points: Array) -> Array:
    """Return Rosenbrock's function on [-5, 10]; see Dixon, Szegö (1978)."""
    x = points * 15 - 5
    return np.asarray((100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(axis=1))


def styblinski_tang(points: Array) -> Array:
    """Return the function of Styblinski, Tang (1990), Neural Networks 3(4), on [-5, 5]."""
    x = points * 10 - 5
    return np.asarray((x**4 - 16 * x**2 + 5 * x).sum(axis=1) / 2)


Fold = tuple[Array, Array, Array, Array]
Losses = Callable[[Mapping[str, float], Fold], Sequence[float]]


def gridded(
    name: str,
    axes: Mapping[str, Array],
    losses: Losses,
    table: tuple[Array, Array],
    *,
    last: Sequence[float] = (),
) -> Landscape:
    """Train on every point of a grid and take the loss between them to be multilinear.

    `last` is one more axis, along which one training gives all the losses.
    """
    found = [
        _mean_losses(losses, dict(zip(axes, point, strict=True)), table) for point in itertools.product(*axes.values())
    ]
    shape = [len(values) for values in axes.values()] + ([len(last)] if last else [])
    grid = [np.linspace(0, 1, size) for size in shape]
    return Landscape(name, len(shape), RegularGridInterpolator(grid, np.reshape(found, shape)))


def _mean_losses(losses: Losses, parameters: Mapping[str, float], table: tuple[Array, Array]) -> Array:
    return np.asarray(np.mean([losses(parameters, fold) for fold in _folds(*table)], axis=0))


def _folds(x: Array, y: Array) -> Iterator[Fold]:
    for train, test in KFold(FOLDS, shuffle=True, random_state=0).split(x):
        scaler = StandardScaler().fit(x[train])
        yield scaler.transform(x[train]), y[train], scaler.transform(x[test]), y[test]


def _svc(parameters: Mapping[str, float], fold: Fold) -> Sequence[float]:
    x, y, held, truth = fold
    return [1 - roc_auc_score(truth, SVC(**parameters).fit(x, y).decision_function(held))]


def _svr(parameters: Mapping[str, float], fold: Fold) -> Sequence[float]:
    x, y, held, truth = fold
    return [mean_squared_error(truth, SVR(**parameters).fit(x, y).predict(held))]


def _sgd(parameters: Mapping[str, float], fold: Fold) -> Sequence[float]:
    x, y, held, truth = fold
    model = SGDClassifier(
        loss="log_loss", penalty="elasticnet", learning_rate="constant", max_iter=20, tol=None, random_state=0
    )
    return [log_loss(truth, model.set_params(**parameters).fit(x, y).predict_proba(held))]


BOOSTED: Final = {
    "learning_rate": 10 ** np.linspace(-2.5, 0, 6),
    "num_leaves": np.array([2, 6, 20]),
    "min_child_samples": np.array([2, 10, 50]),
    "feature_fraction": np.array([0.2, 0.5, 1.0]),
}


def _lightgbm(objective: str) -> Losses:
    judge = log_loss if objective == "binary" else mean_squared_error

    def losses(parameters: Mapping[str, float], fold: Fold) -> Sequence[float]:
        x, y, held, truth = fold
        fixed = {"objective": objective, "num_threads": 1, "verbosity": -1, "seed": 0, "deterministic": True}
        whole = {"num_leaves": int(parameters["num_leaves"]), "min_child_samples": int(parameters["min_child_samples"])}
        model = lightgbm.train({**fixed, **parameters, **whole}, lightgbm.Dataset(x, y), num_boost_round=ROUNDS[-1])
        return [judge(truth, model.predict(held, num_iteration=rounds)) for rounds in ROUNDS]

    return losses
