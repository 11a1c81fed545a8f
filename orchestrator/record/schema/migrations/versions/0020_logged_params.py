"""logged_param: parameters that a script logged for its tracker, with the file that says so"""

from __future__ import annotations

from alembic import op
from sqlalchemy import CheckConstraint, Column, Float, ForeignKey, Integer

from orchestrator.record.schema.columns import Words

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "logged_param",
        Column("run_id", Integer, ForeignKey("run.id"), primary_key=True, nullable=False),
        Column("name", Words, primary_key=True, nullable=False),
        Column("source", Words, nullable=False),
        Column("type", Words, nullable=False),
        Column("text", Words, nullable=False),
        Column("num", Float, nullable=True),
        CheckConstraint("type IN ('bool', 'int', 'float', 'str')", name="type"),
    )
    op.create_index("ix_logged_param_name_num_run_id", "logged_param", ["name", "num", "run_id"])
