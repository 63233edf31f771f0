"""The report of a forecast: one self-contained HTML file that a manager can open."""

from lakemill.training.forecasting.report.write import forecasting_report

__all__ = ["forecasting_report"]
