"""``python -m lakemill``: the command, where its script is not on the path."""

from lakemill.cli.main import main

main()
