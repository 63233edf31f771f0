"""Numbers as people read them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from lakemill.core.records import utc_now

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
VALUE_WIDTH: Final = 40
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400


def duration(seconds: float) -> str:
    """Return a span of time.

    Examples
    --------
    >>> duration(2.13), duration(33.4), duration(125), duration(3720)
    ('2.1 s', '33 s', '2 min 05 s', '1 h 02 min')
    """
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02} min"


def size(num_bytes: float) -> str:
    """Return an amount of memory or disk, nothing where it is not known.

    Examples
    --------
    >>> size(0), size(900), size(1.5 * 2**30), size(200 * 2**20)
    ('', '900 B', '1.5 GiB', '200 MiB')
    """
    if not num_bytes:
        return ""
    power = 0
    while num_bytes >= 1024 and power < len(_UNITS) - 1:
        num_bytes, power = num_bytes / 1024, power + 1
    return f"{num_bytes:.1f} {_UNITS[power]}" if power and num_bytes < 99.95 else f"{num_bytes:.0f} {_UNITS[power]}"


def rate(per_second: float) -> str:
    """Return how fast something goes, per minute where it is slow.

    Examples
    --------
    >>> rate(38.2), rate(1.54), rate(0.4)
    ('38/s', '1.5/s', '24/min')
    """
    if per_second < 1:
        return f"{per_second * _MINUTE:.0f}/min"
    return f"{per_second:.1f}/s" if per_second < 9.95 else f"{per_second:,.0f}/s"


def ago(moment: datetime) -> str:
    """Return how long ago something was.

    Examples
    --------
    >>> ago(utc_now())
    'just now'
    """
    seconds = (utc_now() - moment).total_seconds()
    if seconds < _MINUTE:
        return "just now"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min ago"
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR:.0f} h ago"
    return f"{seconds // _DAY:.0f} days ago"


def value(content: Any) -> str:
    r"""Return a value of a table in one short line.

    Examples
    --------
    >>> value(None), value(0.1 + 0.2), value("two\nlines")
    ('null', '0.3', 'two lines')
    """
    if content is None:
        return "null"
    if isinstance(content, float):
        return f"{content:.6g}"
    text = " ".join(str(content).split())
    return text if len(text) <= VALUE_WIDTH else f"{text[: VALUE_WIDTH - 1]}…"
