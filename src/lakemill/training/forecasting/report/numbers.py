"""Numbers and days as people read them; what is missing is a dash."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from math import isfinite
from typing import Any, Final

NOTHING: Final = "–"
MINUS: Final = "−"


def whole(value: float | None) -> str:
    """Return a count.

    Examples
    --------
    >>> whole(1234.6), whole(-3), whole(None)
    ('1,235', '−3', '–')
    """
    return NOTHING if _missing(value) else f"{value:,.0f}".replace("-", MINUS)


def amount(value: float | None) -> str:
    """Return an amount of units, with a decimal where it is small.

    Examples
    --------
    >>> amount(0.42), amount(7.0), amount(120.4)
    ('0.4', '7', '120')
    """
    if value is None or _missing(value) or abs(value) >= 10 or value == round(value):
        return whole(value)
    return f"{value:.1f}".replace("-", MINUS)


def figure(value: float | None) -> str:
    """Return a scaled error.

    Examples
    --------
    >>> figure(0.90904)
    '0.909'
    """
    return NOTHING if _missing(value) else f"{value:.3f}"


def percent(share: float | None, decimals: int = 1) -> str:
    """Return a share.

    Examples
    --------
    >>> percent(0.912), percent(-0.2, 0)
    ('91.2 %', '−20 %')
    """
    return NOTHING if share is None or _missing(share) else f"{100 * share:.{decimals}f} %".replace("-", MINUS)


def signed(share: float | None, decimals: int = 1) -> str:
    """Return a change as a share.

    Examples
    --------
    >>> signed(0.0912), signed(-0.2, 0)
    ('+9.1 %', '−20 %')
    """
    return NOTHING if share is None or _missing(share) else f"{100 * share:+.{decimals}f} %".replace("-", MINUS)


def day(value: Any) -> str:
    """Return a day.

    Examples
    --------
    >>> day(date(2011, 12, 9)), day(7)
    ('9 Dec 2011', '7')
    """
    return f"{value.day} {value:%b %Y}" if isinstance(value, date) else str(value)


def duration(seconds: float | None) -> str:
    """Return a span of time.

    Examples
    --------
    >>> duration(2.13), duration(125), duration(None)
    ('2.1 s', '2 min 05 s', '–')
    """
    if seconds is None:
        return NOTHING
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{round(seconds) // 60} min {round(seconds) % 60:02} s"


def memory(num_bytes: int) -> str:
    """Return an amount of memory.

    Examples
    --------
    >>> memory(3 * 2**29), memory(200 * 2**20), memory(0)
    ('1.5 GiB', '200 MiB', '–')
    """
    if not num_bytes:
        return NOTHING
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"


def words(name: str) -> str:
    """Return a name without its underscores.

    Examples
    --------
    >>> words("seasonal_naive")
    'seasonal naive'
    """
    return name.replace("_", " ")


def _missing(value: float | None) -> bool:
    return value is None or not isfinite(value)


FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    function.__name__: function
    for function in (whole, amount, figure, percent, signed, day, duration, memory, words)
}
