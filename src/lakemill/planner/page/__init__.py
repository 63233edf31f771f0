"""A plan as one HTML page for a person."""

from lakemill.planner.page.page import Subject, page

__all__ = ["Subject", "page"]
