"""Numbers, days and names as people read them; what is missing is a dash."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from math import isfinite
from typing import Any, Final

NOTHING: Final = "\N{EN DASH}"
MINUS: Final = "\N{MINUS SIGN}"
PERCENT: Final = "\N{NO-BREAK SPACE}%"
METHODS: Final[Mapping[str, str]] = {
    "auto_ets": "AutoETS",
    "auto_theta": "AutoTheta",
    "croston_sba": "Croston SBA",
    "imapa": "IMAPA",
    "lightgbm": "LightGBM",
    "ses": "exponential smoothing",
    "tsb": "TSB",
}


def whole(value: float | None) -> str:
    """Return a count.

    Examples
    --------
    >>> whole(1234.6)
    '1,235'
    """
    return _written(value, ",.0f")


def figure(value: float | None) -> str:
    """Return a scaled error.

    Examples
    --------
    >>> figure(0.90904)
    '0.909'
    """
    return _written(value, ".3f")


def percent(share: float | None, decimals: int = 1) -> str:
    r"""Return a share.

    Examples
    --------
    >>> percent(0.912), percent(0.2, 0)
    ('91.2\xa0%', '20\xa0%')
    """
    return _written(_hundredfold(share), f".{decimals}f", unit=PERCENT)


def signed(share: float | None, decimals: int = 1) -> str:
    r"""Return a change as a share.

    Examples
    --------
    >>> signed(0.0912), signed(-0.2, 0)
    ('+9.1\xa0%', '\u221220\xa0%')
    """
    return _written(_hundredfold(share), f"+.{decimals}f", unit=PERCENT)


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
    ('2.1 s', '2 min 05 s', '\u2013')
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
    ('1.5 GiB', '200 MiB', '\u2013')
    """
    if not num_bytes:
        return NOTHING
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"


def title(method: str) -> str:
    """Return the name of a method as the field writes it.

    Examples
    --------
    >>> title("auto_ets"), title("seasonal_naive")
    ('AutoETS', 'seasonal naive')
    """
    return METHODS.get(method, method.replace("_", " "))


def _hundredfold(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _written(value: float | None, form: str, *, unit: str = "") -> str:
    if value is None or not isfinite(value):
        return NOTHING
    return f"{value:{form}}{unit}".replace("-", MINUS)


FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    function.__name__: function for function in (whole, figure, percent, signed, day, duration, memory, title)
}
