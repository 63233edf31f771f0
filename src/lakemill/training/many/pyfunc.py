"""The code that MLflow loads a registered version with."""

from mlflow.models import set_model

from lakemill.training.many.many_model import ManyModel

set_model(ManyModel())
