"""Candidates, durations and amounts of memory as a person says them."""

from __future__ import annotations

from lakemill.core.planning import Candidate


def label(candidate: Candidate) -> str:
    """Return a candidate in words."""
    nodes = f"{candidate.nodes} nodes of {candidate.node}" if candidate.nodes > 1 else candidate.node
    nodes += f" ({candidate.cluster})" if candidate.cluster != candidate.node else ""
    workers = f"{candidate.workers} worker{'s' if candidate.workers > 1 else ''}"
    return f"{candidate.lane} on {nodes}, {workers}" + (f", {cut_of(candidate)}" if candidate.cut else "")


def place(candidate: Candidate) -> str:
    """Return the machines of a candidate in words."""
    named = candidate.cluster != candidate.node
    return f"{candidate.cluster}: {candidate.nodes} x {candidate.node}" if named else candidate.node


def cut_of(candidate: Candidate) -> str:
    """Return the ways of cutting a model with their degrees."""
    return " x ".join(f"{kind} {degree}-way" if degree > 1 else kind for kind, degree in candidate.cut)


def in_seconds(seconds: float) -> str:
    """Return a duration as a person says it.

    Examples
    --------
    >>> in_seconds(0.031), in_seconds(64), in_seconds(8000)
    ('31 ms', '64 s', '2.2 h')
    """
    for size, unit, below in ((0.001, "ms", 1.0), (1.0, "s", 120.0), (60.0, "min", 7200.0)):
        if seconds < below:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 3600:,.1f} h"


def in_bytes(amount_bytes: float) -> str:
    """Return an amount of memory as a person says it.

    Examples
    --------
    >>> in_bytes(3 * 2**29), in_bytes(1010 * 2**20), in_bytes(1000)
    ('1.5 GiB', '1,010 MiB', '0.001 MiB')
    """
    unit, size = ("GiB", 2**30) if amount_bytes >= 2**30 else ("MiB", 2**20)
    amount = amount_bytes / size
    if amount >= 1000:
        return f"{amount:,.0f} {unit}"
    return f"{amount:.3g} {unit}" if amount_bytes >= 1e5 else f"{amount:.3f} {unit}"


def in_money(amount: float) -> str:
    """Return an amount of money as a person says it, without its currency.

    Examples
    --------
    >>> in_money(0), in_money(0.00421), in_money(12.345), in_money(4321)
    ('0', '0.0042', '12.35', '4,321')
    """
    if amount < 0.1:
        return f"{amount:.2g}"
    return f"{amount:.2f}" if amount < 1000 else f"{amount:,.0f}"
