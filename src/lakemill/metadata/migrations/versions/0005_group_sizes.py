"""How the rows of a table's version fall into groups, once counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "group_sizes",
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("groups", sa.BigInteger, nullable=False),
        sa.Column("largest_rows", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["table_name"], ["tables.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("table_name", "version", "by", name="pk_group_sizes"),
    )
