"""All of a prediction beside the work: seconds by part, memory, money, what it rests on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("delete from past_work")  # without its stages, work teaches the wrong thing
    op.add_column("past_work", sa.Column("prediction", sa.JSON))
    op.add_column("past_work", sa.Column("stages", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("past_work", sa.Column("money", sa.Float))
    op.drop_column("past_work", "predicted")
