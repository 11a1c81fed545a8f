"""submodules"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    # SQLite's own ADD COLUMN leaves another text of the table than its making does.
    sqlite = op.get_bind().dialect.name == "sqlite"
    with op.batch_alter_table("git_state", recreate="always" if sqlite else "never") as batch:
        batch.add_column(sa.Column("submodules", WORDS, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("git_state") as batch:
        batch.drop_column("submodules")
