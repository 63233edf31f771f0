"""What a user declares: forecasts of many series."""

from __future__ import annotations

from typing import ClassVar

from lakemill.core.errors import ConfigError, nearest
from lakemill.core.records import record
from lakemill.training.forecasting.forecasters import FORECASTERS

GLOBAL = "lightgbm"
LEVELS = (80, 95)


@record
class Forecasting:
    """Backtest several forecasters on every series, mix them series by series, forecast.

    Parameters
    ----------
    horizon
        Steps to forecast. The last `horizon` steps of the data are held out: no choice sees them.
    calendar
        Table of all open days in the past and at least `horizon` in the future; its column named
        like the training's `time` is the day, further columns are known in advance for any day.
    season
        Steps of a season.
    forecasters
        Names of forecasters, ``lightgbm`` being the global model over all series.
    members
        Those of the forecasters that are mixed; the others are yardsticks.
    weight
        Column whose sum over the last `horizon` days says how much a series matters; "" counts
        every series alike.
    origins, spacing
        How many origins the backtest has, and how many steps lie between them.

    Raises
    ------
    ConfigError
        If a number is impossible or a forecaster unknown.
    """

    trained_by: ClassVar[str] = "lakemill.training.forecasting.train"
    """The module that knows how; named, not imported, for it needs the forecasting libraries."""

    horizon: int
    calendar: str
    season: int = 1
    forecasters: tuple[str, ...] = (GLOBAL, "seasonal_naive", "historic_mean", "ses", "tsb")
    members: tuple[str, ...] = (GLOBAL, "ses", "tsb")
    weight: str = ""
    origins: int = 3
    spacing: int = 14

    def __post_init__(self) -> None:
        """Refuse at birth what can only fail later."""
        for name, value in (("horizon", self.horizon), ("season", self.season), ("origins", self.origins)):
            if value < 1:
                raise ConfigError(f"{name} must be 1 or more, got {value}")
        object.__setattr__(self, "forecasters", tuple(self.forecasters))
        object.__setattr__(self, "members", tuple(self.members))
        known = {*FORECASTERS.kinds(), GLOBAL}
        for name in self.forecasters:
            if name not in known:
                raise ConfigError(f"no forecaster {name!r}", hint=nearest(name, known))
        if absent := set(self.members) - set(self.forecasters):
            raise ConfigError(
                f"members {sorted(absent)} are not among the forecasters", hint=f"choose from {self.forecasters}"
            )

    @property
    def tables(self) -> tuple[str, ...]:
        """Tables that it reads beside the training set."""
        return (self.calendar,)

    @property
    def local_forecasters(self) -> tuple[str, ...]:
        """Forecasters that fit one series at a time."""
        return tuple(name for name in self.forecasters if name != GLOBAL)

    @property
    def prior(self) -> tuple[float, ...]:
        """Weights of the members before any backtest: half to the global model, the rest in equal shares."""
        others = len(self.members) - (GLOBAL in self.members)
        half = 0.5 if GLOBAL in self.members and others else 1.0
        return tuple(
            half if name == GLOBAL else (1 - half * (GLOBAL in self.members)) / others for name in self.members
        )
