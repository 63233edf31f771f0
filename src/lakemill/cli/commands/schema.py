"""``lakemill schema``."""

from __future__ import annotations

from lakemill.cli.options import JsonOption
from lakemill.cli.output import print_json


def schema(as_json: JsonOption = False) -> None:
    """Print the JSON Schema of lakemill.yml, for editors.

    Example:  lakemill schema > lakemill.schema.json
    """
    from lakemill.projects.project import json_schema

    del as_json  # it is JSON in any case
    print_json(json_schema())
