"""The one SQL database of a workspace: SQLite in a file by default, PostgreSQL by URL.

A room that needs a table adds it to `schema.py` and one migration to `migrations/versions`: a
file named ``NNNN_what.py`` whose `revision` is ``"NNNN"`` and whose `down_revision` is the number
before. Nothing else: the highest number is what `Database` brings a workspace to when it opens
it, and a test holds migrations and `schema.py` equal. Migrations that shipped are never edited.
"""

from lakemill.metadata.database import Database

__all__ = ["Database"]
