"""why a box takes nothing"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("box") as batch:
        batch.add_column(sa.Column("trouble", WORDS, nullable=False, server_default=""))
    with op.batch_alter_table("box") as batch:
        batch.alter_column("trouble", existing_type=WORDS, server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("box") as batch:
        batch.drop_column("trouble")
