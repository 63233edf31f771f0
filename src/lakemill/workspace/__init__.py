"""Opened resources and their context: bound tables, chosen engines, the registry. No policy."""

from lakemill.workspace.execute import execute
from lakemill.workspace.settings import WorkspaceSettings
from lakemill.workspace.table import Table
from lakemill.workspace.workspace import Workspace

__all__ = ["Table", "Workspace", "WorkspaceSettings", "execute"]
