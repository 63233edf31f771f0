"""Where on the calendar the origins are: of the forecast, the held-out steps, the backtest, the lessons."""

from __future__ import annotations

from lakemill.core.errors import SchemaError
from lakemill.core.records import record
from lakemill.training.forecasting.definition import Forecasting

EVERY = 7
"""Steps between the origins that the global model learns from."""
STEP_CYCLE = 4
"""An origin teaches every fourth step; which ones, changes from origin to origin."""
TAUGHT = f"mod({{step}}, {STEP_CYCLE}) = mod(cast(floor({{origin}} / {EVERY}) as bigint), {STEP_CYCLE})"
EARLIEST_HORIZONS = 2
"""Horizons of history that an origin needs before the global model learns from it."""


@record
class Grid:
    """Positions on the calendar that matter.

    Parameters
    ----------
    end
        First position after the data: the origin of the real forecast.
    holdout
        Origin of the held-out steps, one horizon before the end.
    backtest
        Origins of the backtest, latest first; their horizons end before the held-out steps.
    learn
        Origins that the global model learns from.
    """

    end: int
    holdout: int
    backtest: tuple[int, ...]
    learn: tuple[int, ...]

    @property
    def predicted(self) -> tuple[int, ...]:
        """Origins at which the global model forecasts."""
        return tuple(sorted({*self.backtest, self.holdout, self.end}))


def grid(end: int, method: Forecasting) -> Grid:
    """Lay out the origins.

    Raises
    ------
    SchemaError
        If the data is too short for the backtest.

    Examples
    --------
    >>> grid(305, Forecasting(horizon=28, calendar="a.b.c")).backtest
    (249, 235, 221)
    """
    holdout = end - method.horizon
    backtest = tuple(holdout - method.horizon - k * method.spacing for k in range(method.origins))
    if backtest[-1] < method.horizon:
        raise SchemaError(
            f"{end} open days are too few for {method.origins} backtest origins and a held-out horizon of "
            f"{method.horizon}: {method.horizon * 3 + (method.origins - 1) * method.spacing} are needed",
            hint="ask for fewer origins or a shorter horizon",
        )
    learn = tuple(p for p in range(end % EVERY, holdout + 1, EVERY) if p > EARLIEST_HORIZONS * method.horizon)
    return Grid(end=end, holdout=holdout, backtest=backtest, learn=learn)
