"""Accuracy on the held-out steps, over all series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from lakemill.registry import Evaluation
from lakemill.training.many.session import Session

WRMSSE: Final = "wrmsse"
"""Mean RMSSE over series, weighted by `Forecasting.weight`."""

# Decimals add up alike in any order, so that equal rows give equal figures.
QUERY: Final = """
    select {by}, cast(sum(cast(rmsse * weight as decimal(28, 8))) as double)
             / cast(nullif(sum(case when rmsse is not null then cast(weight as decimal(28, 8)) end), 0) as double) as wrmsse,
           avg(rmsse) as rmsse, avg(mase) as mase, sum(forecast_units) / nullif(sum(actual_units), 0) - 1 as bias,
           avg(inside_80) as inside_80, avg(inside_95) as inside_95, count(*) as series
    from a where training = '{training}' group by {by} order by {by}
"""


def accuracy_by_method(session: Session, *, by: Sequence[str] = ("method",)) -> list[dict[str, Any]]:
    """Return a row for each method (or method and class): RMSSE, MASE, bias, coverage, series."""
    workspace = session.workspace
    query = QUERY.format(by=", ".join(by), training=session.id)
    rows: list[dict[str, Any]] = (
        workspace.frames.to_arrow(workspace.sql(query, a=session.table("accuracy"))).read_all().to_pylist()
    )
    return rows


def evaluation(accuracy: Sequence[dict[str, Any]], method: str, *, data: str) -> Evaluation:
    """Return a method's weighted RMSSE as an evaluation."""
    row = next(row for row in accuracy if row["method"] == method)
    return Evaluation(metric=WRMSSE, value=row["wrmsse"], of=method, n=row["series"], data=data)
