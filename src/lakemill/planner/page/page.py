"""From plans to the text of a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from lakemill.core.pages import templates
from lakemill.core.planning import Cluster, Facts, Interval, Plan
from lakemill.core.records import record, utc_now
from lakemill.planner.page import curves
from lakemill.planner.shortlist import shortlist
from lakemill.planner.wording import cut_of, in_bytes, in_money, in_seconds, label, place

MOST_ROWS: Final = 14
WHISKER: Final = 280.0
UNITS: Final[Mapping[str, Callable[[float], str]]] = {"seconds": in_seconds, "bytes": in_bytes, "money": in_money}


@record
class Subject:
    """One task: what is known of its work, where it may run, and the plan."""

    task: str
    facts: Facts
    clusters: tuple[Cluster, ...]
    plan: Plan


def page(project: str, subjects: Sequence[Subject]) -> str:
    """Return plans as one HTML page that needs nothing else.

    Parameters
    ----------
    project
        Name of the project.
    subjects
        The plans, one section each.
    """
    environment = templates(__package__)
    environment.filters.update(UNITS, label=label, cut=cut_of, place=place, figure=figure)
    return environment.get_template("plan.html.j2").render(
        project=project,
        written_at=utc_now(),
        subjects=[_content(subject) for subject in subjects],
        frame=curves.FRAME,
        units=UNITS,
    )


def figure(value: float | Interval, name: str = "") -> str:
    """Return a figure with its bounds as a person says it, in the unit that its name names.

    Examples
    --------
    >>> figure(1234567), figure(0.25, "largest_share"), figure(2**31, "peak_bytes")
    ('1,234,567', '0.25', '2 GiB')
    >>> figure(Interval(value=64, low=55, high=75), "seconds")
    '64 s (55 s to 75 s)'
    """
    tell = next((tell for unit, tell in UNITS.items() if unit in name.split("_")), _number)
    if not isinstance(value, Interval):
        return tell(value)
    if value.low == value.high:
        return tell(value.value)
    return f"{tell(value.value)} ({tell(value.low)} to {tell(value.high)})"


def _number(amount: float) -> str:
    return f"{amount:,}" if isinstance(amount, int) else f"{amount:,.4g}"


def _content(subject: Subject) -> dict[str, Any]:
    made = subject.plan
    rows = shortlist(made, most=MOST_ROWS)
    return {
        "task": subject.task,
        "plan": made,
        "choice": made.choice,
        "rows": rows,
        "at": curves.placed([one.seconds for one in rows], width=WHISKER),
        "priced": any(one.money is not None and one.money.value for one in made.candidates),
        "curves": curves.curves(made),
        "facts": tuple(_facts(subject.facts)),
        "clusters": subject.clusters,
        "accelerated": any(cluster.node.accelerators for cluster in subject.clusters),
    }


def _facts(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """Yield what is known of the work: name, figure, and where it comes from; not what was left at its default."""
    sources = dict(facts.sources)
    for field in fields(facts):
        value = getattr(facts, field.name)
        if isinstance(value, int | float | Interval) and (field.name in sources or value != field.default):
            yield field.name.replace("_", " "), figure(value, field.name), sources.get(field.name, "given")
