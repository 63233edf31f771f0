"""The registered model: one MLflow pyfunc that holds the models of all groups."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow.pyfunc
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.types.schema import AnyType, ColSpec, Schema

from lakemill.core.errors import TaskError
from lakemill.training.many.artifact import GroupModels


class ManyModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Predicts each group's rows with the group's own model, loaded when first needed."""

    def load_context(self, context: Any) -> None:
        """Open the file of models; read the columns that name a group."""
        models = Path(context.artifacts["models"])
        self.models = GroupModels(models, modules=models.parents[1] / "code")  # MLflow's name for code_paths
        self.by: list[str] = json.loads(Path(context.artifacts["layout"]).read_text())["by"]

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Return the predictions of every group in the input that has a model.

        Parameters
        ----------
        context
            MLflow's.
        model_input
            Rows with at least the columns that name a group.
        params
            None are taken.

        Raises
        ------
        ValueError
            If no group of the input has a model.
        """
        pieces = list(self._pieces(model_input))
        if not pieces:
            raise ValueError(f"none of the groups asked for has a model; this version holds {len(self.models)}")
        return pd.concat(pieces, ignore_index=True)

    def _pieces(self, rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
        for key, group in rows.groupby(self.by, sort=False, dropna=False):
            model = self.models.get(key)
            if model is not None:
                yield self._with_key(key, _predictor(model)(group))

    def _with_key(self, key: tuple[Any, ...], predicted: Any) -> pd.DataFrame:
        frame = predicted if isinstance(predicted, pd.DataFrame) else pd.DataFrame({"prediction": predicted})
        columns = dict(zip(self.by, key, strict=True))
        return frame.assign(**columns)[[*self.by, *(c for c in frame.columns if c not in columns)]]


def _predictor(model: Any) -> Callable[[pd.DataFrame], Any]:
    if not hasattr(model, "predict"):
        raise TaskError(
            f"the fit function made a model of type {type(model).__name__}, which has no predict(rows)",
            hint="return a model that has, or GroupResult(tables=...) where there is none",
        )
    predict: Callable[[pd.DataFrame], Any] = model.predict
    return predict


def signature_of(artifacts: dict[str, str], example: pd.DataFrame) -> ModelSignature:
    """Return the signature that a model with these artifacts has, by predicting an example."""
    model = ManyModel()
    model.load_context(SimpleNamespace(artifacts=artifacts))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Hint: Inferred schema contains integer")  # keys and times are
        signature = infer_signature(example, model.predict(None, example))
    zoned = set(example.select_dtypes("datetimetz").columns)
    signature.inputs = Schema([_any_time(column) if column.name in zoned else column for column in signature.inputs])
    return signature


def _any_time(column: ColSpec) -> ColSpec:
    """Return a column that takes times with a zone, as tables hold them: MLflow's own datetime refuses those."""
    return ColSpec(AnyType(), name=column.name, required=column.required)
