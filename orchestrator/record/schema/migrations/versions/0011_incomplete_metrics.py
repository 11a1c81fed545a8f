"""what of a run's metrics could not be read"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("run", sa.Column("metrics_incomplete", WORDS, nullable=True))


def downgrade() -> None:
    op.drop_column("run", "metrics_incomplete")
