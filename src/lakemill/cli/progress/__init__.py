"""Progress of a run on standard error: drawn on a terminal, told in lines elsewhere."""

from lakemill.cli.progress.watch import watch

__all__ = ["watch"]
