"""the ledger"""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)
COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "event",
        sa.Column("idx", COUNT, autoincrement=False, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("made_by", WORDS, nullable=False),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("run", WORDS, nullable=True),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("idx", name=op.f("pk_event")),
    )
    op.create_index("ix_event_at", "event", ["at"])
    for column in ("kind", "made_by", "run"):
        op.create_index(f"ix_event_{column}_idx", "event", [column, "idx"])
    op.create_table(
        "ledger",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
    )
    op.create_table(
        "checkpoint",
        sa.Column("size", COUNT, autoincrement=False, nullable=False),
        sa.Column("text", WORDS, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_checkpoint")),
    )
    ledger = sa.table("ledger", sa.column("id"), sa.column("size"), sa.column("frontier", sa.LargeBinary))
    # Another one in every database: events and checkpoints of two teams cannot be mixed up.
    op.bulk_insert(ledger, [{"id": secrets.token_hex(8), "size": 0, "frontier": b""}])


def downgrade() -> None:
    for name in ("checkpoint", "ledger", "event"):
        op.drop_table(name)
