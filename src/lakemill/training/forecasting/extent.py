"""Whether the rows to learn from lie on the calendar as they must."""

from __future__ import annotations

from lakemill.core.errors import SchemaError
from lakemill.core.records import record


@record
class Extent:
    """How far series and calendar reach.

    Parameters
    ----------
    rows, placed
        Rows of the spine, and those of them that fall on a day of the calendar.
    broken
        Series without exactly one row for every open day since their first.
    end
        First position after the data.
    known
        Days of the calendar.
    """

    rows: int
    placed: int
    broken: int
    end: int
    known: int


def check(extent: Extent, *, spine: str, calendar: str, horizon: int) -> None:
    """Refuse an empty table, strange days, gaps and a short calendar.

    Raises
    ------
    SchemaError
        If there are any.
    """
    if not extent.rows:
        raise SchemaError(f"{spine} is empty", hint="run the step that fills it first")
    if not extent.placed:
        raise SchemaError(f"no day of {spine} is in {calendar}", hint="the days must be equal in type and value")
    if extent.placed != extent.rows:
        raise SchemaError(
            f"{extent.rows - extent.placed:,} of {extent.rows:,} rows of {spine} fall on days that are not in {calendar}",
            hint="the calendar lists every open day",
        )
    if extent.broken:
        raise SchemaError(
            f"{extent.broken:,} series of {spine} do not have exactly one row for every open day since their first",
            hint="fill days without demand with 0, and keep one row a day",
        )
    if extent.known < extent.end + horizon:
        raise SchemaError(
            f"{calendar} knows {extent.known - extent.end} days after the data, the horizon is {horizon}",
            hint="add the next open days to the calendar",
        )
