"""From a subject to the text of the page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from statistics import median
from typing import Any

from lakemill.core.pages import templates
from lakemill.training.forecasting.report import charts, operations
from lakemill.training.forecasting.report.numbers import FILTERS
from lakemill.training.forecasting.report.products import (
    HORIZONS_BACK,
    Curve,
    drawn_curves,
    worst_curves,
)
from lakemill.training.forecasting.report.standings import standings
from lakemill.training.forecasting.report.subject import MIX, Subject
from lakemill.training.forecasting.report.totals import Totals, totals
from lakemill.training.forecasting.report.verdict import GOAL, Verdict, verdict

LARGE_BIAS = 0.10
"""From this share on, a bias is warned of."""


def page(subject: Subject, *, quarantine: str, written_at: datetime) -> str:
    """Return the report as HTML."""
    environment = templates(__package__)
    environment.filters.update(FILTERS)
    content = _content(subject) | _operations(subject, quarantine)
    return environment.get_template("report.html.j2").render(subject=subject, written_at=written_at, **content)


def _content(subject: Subject) -> dict[str, Any]:
    found, judged, together = standings(subject), verdict(subject), totals(subject)
    return {
        "noun": _noun(subject),
        "decisions": {v.version: subject.workspace.models.decision(v) for v in (subject.newest, subject.version)},
        "standings": found,
        "verdict": judged,
        "gain_at": judged and _gain_scale(judged),
        "partial": [c.method for c in judged.partial] if judged else [],
        "totals": together,
        "total_drawing": together and _draw_totals(subject, together),
        "drawn": [(curve, _draw(subject, curve, charts.PRODUCT)) for curve in drawn_curves(subject)],
        "worst": [(curve, _draw_held(subject, curve)) for curve in worst_curves(subject)],
        "mix": MIX,
        "goal": GOAL,
        "large_bias": LARGE_BIAS,
    }


def _operations(subject: Subject, quarantine: str) -> dict[str, Any]:
    return {
        "quarantine": operations.quarantine(subject, quarantine),
        "ledger": operations.ledger(subject),
        "job_run": operations.job_run(subject),
        "stages": operations.stages(subject),
        "provenance": operations.provenance(subject),
    }


def _noun(subject: Subject) -> str:
    """Return what a series is called: the one column that names it, or plainly a series."""
    keys = subject.definition.keys
    return keys[0].replace("_", " ") if len(keys) == 1 else "series"


def _gain_scale(judged: Verdict) -> Callable[[float], float]:
    """Return a scale for gains: the goal is in it, a method that is far behind lies beyond it."""
    high = max(3 * GOAL, 2 * median(c.gain for c in judged.comparisons))
    low = min(-GOAL, *(c.low for c in judged.comparisons))
    return charts.place(max(low, -high), high)


def _span(subject: Subject, *, start: int) -> charts.Span:
    end = subject.end
    last = min(end + subject.method.horizon - 1, max(subject.days, default=end))
    return charts.Span(start=max(start, 0), holdout=subject.holdout, end=end, last=max(last, end))


def _draw(subject: Subject, curve: Curve, frame: charts.Frame) -> charts.Drawing:
    bands = (curve.held, curve.future)
    return charts.draw(
        frame,
        _span(subject, start=subject.end - HORIZONS_BACK * subject.method.horizon),
        history=curve.history,
        lines=[[(point.position, point.forecast) for point in band] for band in bands],
        bands=bands,
        days=subject.days,
    )


def _draw_held(subject: Subject, curve: Curve) -> charts.Drawing:
    span = charts.Span(start=subject.holdout, holdout=subject.holdout, end=subject.end, last=subject.end - 1)
    line = [(point.position, point.forecast) for point in curve.held]
    return charts.draw(charts.SPARKLINE, span, history=curve.history, lines=[line], days={})


def _draw_totals(subject: Subject, together: Totals) -> charts.Drawing:
    return charts.draw(
        charts.TOTAL,
        _span(subject, start=min(together.actual, default=0)),
        history=together.actual,
        lines=[list(together.held.items()), list(together.future.items())],
        days=subject.days,
    )
