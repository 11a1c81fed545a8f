"""indexes for a million runs"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

FAILED = sa.text("failure IS NOT NULL")
TEXTS = sa.text("num IS NULL")


def upgrade() -> None:
    with op.batch_alter_table("metric") as batch:
        batch.add_column(sa.Column("job_id", sa.Integer(), nullable=True))
    op.execute("UPDATE metric SET job_id = (SELECT run.job_id FROM run WHERE run.id = metric.run_id)")
    with op.batch_alter_table("metric") as batch:
        batch.alter_column("job_id", existing_type=sa.Integer(), nullable=False)
    op.create_index("ix_metric_job_id_name_num_run_id", "metric", ["job_id", "name", "num", "run_id"])
    prefix = sa.text("substr(text, 1, 100)")
    op.create_index(
        "ix_param_name_text_run_id",
        "param",
        ["name", prefix, "run_id"],
        sqlite_where=TEXTS,
        postgresql_where=TEXTS,
    )
    op.drop_index("ix_run_seconds", "run")
    op.create_index("ix_run_seconds_id", "run", ["seconds", "id"])
    op.create_index("ix_run_seed_id", "run", ["seed", "id"])
    op.create_index("ix_run_submitted_by_created_at", "run", ["submitted_by", "created_at"])
    op.create_index(
        "ix_run_failure_created_at",
        "run",
        ["failure", "created_at"],
        sqlite_where=FAILED,
        postgresql_where=FAILED,
    )
    op.drop_index("ix_metric_point_run_id_name", "metric_point")
    op.drop_index("ix_annotation_run_id", "annotation")
    op.create_index("ix_annotation_run_id_kind_word", "annotation", ["run_id", "kind", "word"])


def downgrade() -> None:
    op.drop_index("ix_annotation_run_id_kind_word", "annotation")
    op.create_index("ix_annotation_run_id", "annotation", ["run_id"])
    op.create_index("ix_metric_point_run_id_name", "metric_point", ["run_id", "name"])
    for name in ("failure_created_at", "submitted_by_created_at", "seed_id", "seconds_id"):
        op.drop_index(f"ix_run_{name}", "run")
    op.create_index("ix_run_seconds", "run", ["seconds"])
    op.drop_index("ix_param_name_text_run_id", "param")
    op.drop_index("ix_metric_job_id_name_num_run_id", "metric")
    with op.batch_alter_table("metric") as batch:
        batch.drop_column("job_id")
