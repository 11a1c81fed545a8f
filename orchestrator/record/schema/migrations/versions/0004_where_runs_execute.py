"""where runs execute"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "wanted",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("executor", WORDS, nullable=False),
        sa.Column("box", WORDS, nullable=True),
        sa.Column("not_box", WORDS, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_table(
        "launch",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("executor", WORDS, nullable=False),
        sa.Column("ref", WORDS, nullable=True),
        sa.Column("launched_by", WORDS, nullable=False),
        sa.Column("launched_at", MOMENT, nullable=False),
        sa.Column("ended", WORDS, nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("run_id", "number"),
    )
    op.create_table(
        "box",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("state", WORDS, nullable=False),
        sa.Column("boot", WORDS, nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("cpus", sa.Integer(), nullable=False),
        sa.Column("memory", sa.BigInteger(), nullable=False),
        sa.Column("gpus", WORDS, nullable=False),
        sa.Column("bit_class", WORDS, nullable=False),
        sa.Column("bit_digest", WORDS, nullable=False),
        sa.Column("versions", WORDS, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "log_chunk",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("run_id", "number", "start"),
    )


def downgrade() -> None:
    for name in ("log_chunk", "box", "launch", "wanted"):
        op.drop_table(name)
