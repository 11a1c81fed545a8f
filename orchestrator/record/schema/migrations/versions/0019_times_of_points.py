"""when a point of a metric was written, where the job's file says it"""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Float

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("metric_point", Column("at", Float, nullable=True))
