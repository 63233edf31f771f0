"""One large model: how large it is, and what a plan needs to know of it."""

from lakemill.training.deep.facts import deep_training

__all__ = ["deep_training"]
