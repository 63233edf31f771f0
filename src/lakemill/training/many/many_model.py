"""The registered model: one MLflow pyfunc that holds the models of all groups."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow.pyfunc
import pandas as pd
from mlflow.models import ModelSignature, infer_signature

from lakemill.training.many.artifact import GroupModels


class ManyModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Predicts each group's rows with the group's own model, loaded when first needed."""

    def load_context(self, context: Any) -> None:
        """Open the file of models; read the columns that name a group."""
        self.models = GroupModels(Path(context.artifacts["models"]))
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
                yield self._with_key(key, model.predict(group))

    def _with_key(self, key: tuple[Any, ...], predicted: Any) -> pd.DataFrame:
        frame = predicted if isinstance(predicted, pd.DataFrame) else pd.DataFrame({"prediction": predicted})
        columns = dict(zip(self.by, key, strict=True))
        return frame.assign(**columns)[[*self.by, *(c for c in frame.columns if c not in columns)]]


def signature_of(artifacts: dict[str, str], example: pd.DataFrame) -> ModelSignature:
    """Return the signature that a model with these artifacts has, by predicting an example."""
    model = ManyModel()
    model.load_context(SimpleNamespace(artifacts=artifacts))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Hint: Inferred schema contains integer")  # keys and times are
        return infer_signature(example, model.predict(None, example))
