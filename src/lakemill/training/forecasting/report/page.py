"""From a subject to the text of the page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lakemill.training.forecasting.report import charts, operations
from lakemill.training.forecasting.report.numbers import FILTERS
from lakemill.training.forecasting.report.products import (
    HORIZONS_BACK,
    Curve,
    drawn_curves,
    worst_curves,
)
from lakemill.training.forecasting.report.standings import Standings, standings
from lakemill.training.forecasting.report.subject import MIX, Subject
from lakemill.training.forecasting.report.totals import Totals, totals
from lakemill.training.forecasting.report.verdict import GOAL, Verdict, verdict

LARGE_BIAS = 0.10
"""From this share on, a bias is warned of."""


def page(subject: Subject, *, quarantine: str, written_at: datetime) -> str:
    """Return the report as HTML."""
    environment = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
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
        "dots": _dots(found, judged),
        "compared": _compared(found, judged),
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


def _dots(found: Standings | None, judged: Verdict | None) -> Mapping[str, tuple[float, float | None]]:
    """Return for each method where its weighted RMSSE lies, and the mix's on the same series, in percent."""
    if found is None:
        return {}
    own = {row["method"]: row["wrmsse"] for row in found.methods if row["wrmsse"] is not None}
    mixes = {c.method: c.mix for c in (judged.comparisons if judged else ())}
    if not own:
        return {}
    at = charts.place([*own.values(), *mixes.values()])
    return {name: (at(value), at(mixes[name]) if name in mixes else None) for name, value in own.items()}


def _compared(found: Standings | None, judged: Verdict | None) -> tuple[str, ...]:
    """Return the methods that were fitted everywhere."""
    partial = {c.method for c in judged.partial} if judged else set()
    return tuple(row["method"] for row in found.methods if row["method"] not in partial) if found else ()


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
