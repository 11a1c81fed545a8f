"""where runs came from, and what only the box that executed them can have written"""

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
    with op.batch_alter_table("run", recreate="always" if sqlite else "never") as batch:
        batch.add_column(sa.Column("imported_from", WORDS, nullable=True))
    with op.batch_alter_table("attempt", recreate="always" if sqlite else "never") as batch:
        batch.add_column(sa.Column("seal", WORDS, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("attempt") as batch:
        batch.drop_column("seal")
    with op.batch_alter_table("run") as batch:
        batch.drop_column("imported_from")
