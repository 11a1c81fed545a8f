"""annotations, and inputs by content"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)
KINDS = ("note", "tag", "untag", "name", "unname", "archive", "restore")
DIGESTS = (("git_state", "patch_digest"), ("log", "digest"), ("trace", "digest"))  # whence asks for them


def upgrade() -> None:
    op.create_table(
        "annotation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("word", WORDS, nullable=False),
        sa.Column("text", WORDS, nullable=False),
        sa.Column("made_by", WORDS, nullable=False),
        sa.Column("made_at", MOMENT, nullable=False),
        sa.CheckConstraint(f"kind IN ({', '.join(map(repr, KINDS))})", name=op.f("ck_annotation_kind")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_annotation_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotation")),
    )
    op.create_index("ix_annotation_run_id", "annotation", ["run_id"])
    op.create_index("ix_annotation_kind_word", "annotation", ["kind", "word"])
    op.create_table(
        "run_input",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("digest", WORDS, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_input_run_id")),
        sa.PrimaryKeyConstraint("run_id", "name", name=op.f("pk_run_input")),
    )
    op.create_index("ix_run_input_digest", "run_input", ["digest"])
    op.create_table(
        "input_data",
        sa.Column("digest", WORDS, nullable=False),
        sa.Column("folder", sa.Boolean(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_input_data")),
    )
    op.create_table(
        "input_file",
        sa.Column("folder", WORDS, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("path", WORDS, nullable=False),
        sa.Column("digest", WORDS, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("folder", "position", name=op.f("pk_input_file")),
    )
    op.create_index("ix_input_file_digest", "input_file", ["digest"])
    for table, column in DIGESTS:
        op.create_index(f"ix_{table}_{column}", table, [column])
    op.create_index("ix_output_digest_run_id", "output", ["digest", "run_id"])
    op.drop_index("ix_output_digest", "output")
    _inputs_of_earlier_runs()


def _inputs_of_earlier_runs() -> None:
    connection = op.get_bind()
    run = sa.table("run", sa.column("id", sa.Integer), sa.column("program", sa.Text))
    target = sa.table("run_input", sa.column("run_id"), sa.column("name"), sa.column("digest"))
    with_inputs = sa.select(run).where(run.c.program.not_like('%"inputs":{},%')).order_by(run.c.id)
    rows = [
        {"run_id": row.id, "name": name, "digest": digest}
        for row in connection.execute(with_inputs)
        for name, digest in json.loads(row.program).get("inputs", {}).items()
    ]
    if rows:
        connection.execute(sa.insert(target), rows)


def downgrade() -> None:
    op.create_index("ix_output_digest", "output", ["digest"])
    op.drop_index("ix_output_digest_run_id", "output")
    for table, column in DIGESTS:
        op.drop_index(f"ix_{table}_{column}", table)
    for name in ("input_file", "input_data", "run_input", "annotation"):
        op.drop_table(name)
