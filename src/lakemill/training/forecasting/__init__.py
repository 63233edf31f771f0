"""Forecasts of many series: backtested, mixed, with intervals, reported."""

from __future__ import annotations

from typing import Any

from lakemill.training.forecasting.definition import Forecasting

__all__ = ["Forecasting", "forecasting_report"]


def __getattr__(name: str) -> Any:
    if name != "forecasting_report":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lakemill.training.forecasting.report import forecasting_report  # its libraries take a while to load

    return forecasting_report
