"""Write the report."""

from __future__ import annotations

from pathlib import Path

from lakemill.core.records import utc_now
from lakemill.training.forecasting.report.page import page
from lakemill.training.forecasting.report.subject import Subject
from lakemill.training.many.definition import ManyTraining
from lakemill.training.many.staging import write_atomically
from lakemill.workspace import Workspace


def forecasting_report(workspace: Workspace, definition: ManyTraining, *, forecast: str, quarantine: str = "") -> Path:
    """Write what a manager should know of a forecast into one HTML file that needs nothing else.

    The file lies in the workspace's ``reports`` folder under the model's name and the time in UTC;
    a copy ends in ``-latest``. What is not there, such as a job run or a quarantine, is left out.

    Parameters
    ----------
    workspace
        Where the tables and models are.
    definition
        The training whose champion made the forecast; its `fit` is a `Forecasting`.
    forecast
        Table of the forecast: keys, time, ``forecast`` and the bounds of its intervals.
    quarantine
        Table of the lines that were refused, with the ``rule`` that caught each.

    Returns
    -------
    Path
        The file with the time in its name.

    Raises
    ------
    ConfigError
        If the definition is not about forecasting.
    NotFoundError
        If no version of the model is registered.
    """
    subject, written_at = Subject(workspace, definition, forecast=forecast), utc_now()
    html = page(subject, quarantine=quarantine, written_at=written_at)
    stamped, latest = (
        workspace.folder("reports") / f"{definition.registered_model}-{suffix}.html"
        for suffix in (f"{written_at:%Y%m%dT%H%M%SZ}", "latest")
    )
    write_atomically(latest, html)
    write_atomically(stamped, html)
    return stamped
