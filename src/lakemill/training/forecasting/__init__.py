"""Forecasts of many series: backtested, mixed, with intervals, reported."""

from lakemill.training.forecasting.definition import Forecasting

__all__ = ["Forecasting"]
