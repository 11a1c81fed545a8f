"""names for data, and where the inputs of a run were looked up"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "input_origin",
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("asked", WORDS, nullable=False),
        sa.Column("data", WORDS, nullable=True),
        sa.Column("version", sa.Integer, nullable=True),
        sa.Column("run", WORDS, nullable=True),
        sa.Column("path", WORDS, nullable=True),
        sa.PrimaryKeyConstraint("run_id", "name", name="pk_input_origin"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_input_origin_run_id"),
    )
    op.create_index("ix_input_origin_run", "input_origin", ["run"])
    op.create_index("ix_input_origin_data_version", "input_origin", ["data", "version"])
    op.create_table(
        "data_version",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("digest", WORDS, nullable=False),
        sa.Column("added_by", WORDS, nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_data_version"),
        sa.UniqueConstraint("name", "version", name="uq_data_version_name_version"),
    )
    op.create_index("ix_data_version_digest", "data_version", ["digest"])
