"""Tables of the catalog: names, tags, lineage."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "tables",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("primary_keys", sa.JSON, nullable=False),
        sa.Column("timeseries_column", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_tables"),
    )
    op.create_table(
        "table_tags",
        sa.Column("table_name", sa.Text, sa.ForeignKey("tables.name", ondelete="CASCADE"), nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("table_name", "key", name="pk_table_tags"),
    )
    op.create_table(
        "table_access",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("table_name", sa.Text, sa.ForeignKey("tables.name", ondelete="CASCADE"), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("task_key", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_table_access"),
        sa.UniqueConstraint("table_name", "kind", "version", "run_id", "task_key", "user", name="uq_table_access"),
    )
    op.create_index("ix_table_access_run_id", "table_access", ["run_id"])
