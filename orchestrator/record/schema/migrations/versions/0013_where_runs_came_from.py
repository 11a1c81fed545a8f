"""where runs came from, and what only the box that executed them can have written"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("run", sa.Column("imported_from", WORDS, nullable=True))
    op.add_column("attempt", sa.Column("seal", WORDS, nullable=True))


def downgrade() -> None:
    op.drop_column("attempt", "seal")
    op.drop_column("run", "imported_from")
