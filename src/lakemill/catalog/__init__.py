"""Names to Delta tables: commits, history, tags, comments, lineage."""

from lakemill.catalog.catalog import Catalog
from lakemill.catalog.records import Access, Commit, CommitKey, DataFile, TableInfo

__all__ = ["Access", "Catalog", "Commit", "CommitKey", "DataFile", "TableInfo"]
