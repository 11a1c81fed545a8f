"""live_state: what an attempt on another box has measured and traced so far"""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, ForeignKey, Integer

from orchestrator.record.schema.columns import Moment, Words

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "live_state",
        Column("run_id", Integer, ForeignKey("run.id"), primary_key=True, nullable=False),
        Column("number", Integer, primary_key=True, nullable=False),
        Column("document", Words, nullable=False),
        Column("at", Moment, nullable=False),
    )
