"""the first tables"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


MOMENT = sa.DateTime(timezone=True)


def _closed(name: str, *words: str) -> sa.Enum:
    return sa.Enum(*words, name=name, native_enum=False, create_constraint=True, length=20)


def upgrade() -> None:
    op.create_table(
        "image",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", WORDS, nullable=False),
        sa.Column("config_digest", WORDS, nullable=False),
        sa.Column("base_name", WORDS, nullable=False),
        sa.Column("base_digest", WORDS, nullable=False),
        sa.Column("base_config_digest", WORDS, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index("ix_image_base_digest", "image", ["base_digest"])
    op.create_index("ix_image_config_digest", "image", ["config_digest"])

    op.create_table(
        "job",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "image_layer",
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", _closed("kind", "base", "wheel", "wheels", "source", "runtime"), nullable=False),
        sa.Column("digest", WORDS, nullable=False),
        sa.Column("diff_id", WORDS, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("media_type", WORDS, nullable=False),
        sa.Column("title", WORDS, nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"]),
        sa.PrimaryKeyConstraint("image_id", "position"),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", WORDS, nullable=False),
        sa.Column("key", WORDS, nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("rerun_of", sa.Integer(), nullable=True),
        sa.Column("reference", WORDS, nullable=False),
        sa.Column("description", WORDS, nullable=False),
        sa.Column("submitted_by", WORDS, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("program", WORDS, nullable=False),
        sa.Column("resources", WORDS, nullable=False),
        sa.Column("tolerance", WORDS, nullable=False),
        sa.Column("input_paths", WORDS, nullable=False),
        sa.Column(
            "state",
            _closed(
                "state",
                "queued",
                "preparing",
                "running",
                "collecting",
                "succeeded",
                "failed",
                "cancelled",
                "lost",
            ),
            nullable=False,
        ),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("cancel_requested_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column(
            "failure",
            _closed("failure", "job", "memory", "timeout", "policy", "infrastructure"),
            nullable=True,
        ),
        sa.Column("message", WORDS, nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("oom_killed", sa.Boolean(), nullable=False),
        sa.Column("reports_missing", sa.Boolean(), nullable=False),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("recorded_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"]),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.ForeignKeyConstraint(["rerun_of"], ["run.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
        sa.UniqueConstraint("public_id"),
    )
    op.create_index("ix_run_created_at", "run", ["created_at"])
    op.create_index("ix_run_image_id", "run", ["image_id"])
    op.create_index("ix_run_job_id_created_at", "run", ["job_id", "created_at"])
    op.create_index("ix_run_rerun_of", "run", ["rerun_of"])
    op.create_index("ix_run_state", "run", ["state"])

    op.create_table(
        "attempt",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("box", WORDS, nullable=False),
        sa.Column("boot", WORDS, nullable=False),
        sa.Column("executor", WORDS, nullable=False),
        sa.Column("plan", WORDS, nullable=True),
        sa.Column("claimed_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("run_id", "number"),
    )
    op.create_index("ix_attempt_box", "attempt", ["box"])

    op.create_table(
        "fingerprint",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("bit_digest", WORDS, nullable=False),
        sa.Column("bit_class", WORDS, nullable=False),
        sa.Column("perf_class", WORDS, nullable=False),
        sa.Column("identity", WORDS, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index("ix_fingerprint_bit_digest", "fingerprint", ["bit_digest"])

    op.create_table(
        "flag",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("argv", WORDS, nullable=False),
        sa.Column("start", WORDS, nullable=True),
        sa.Column("end", WORDS, nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("run_id", "position"),
    )
    op.create_table(
        "git_state",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("remote", WORDS, nullable=True),
        sa.Column("commit", WORDS, nullable=False),
        sa.Column("branch", WORDS, nullable=True),
        sa.Column("author", WORDS, nullable=True),
        sa.Column("committed_at", MOMENT, nullable=True),
        sa.Column("subject", WORDS, nullable=False),
        sa.Column("dirty", sa.Boolean(), nullable=False),
        sa.Column("patch_digest", WORDS, nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index("ix_git_state_commit", "git_state", ["commit"])

    op.create_table(
        "log",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("digest", WORDS, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_table(
        "metric",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("text", WORDS, nullable=False),
        sa.Column("num", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("run_id", "name"),
    )
    op.create_index("ix_metric_name_num", "metric", ["name", "num"])

    op.create_table(
        "metric_point",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=True),
        sa.Column("text", WORDS, nullable=False),
        sa.Column("num", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("run_id", "position"),
    )
    op.create_index("ix_metric_point_run_id_name", "metric_point", ["run_id", "name"])

    op.create_table(
        "note",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("text", WORDS, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("run_id", "position"),
    )
    op.create_table(
        "output",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("path", WORDS, nullable=False),
        sa.Column("status", _closed("status", "kept", "rejected"), nullable=False),
        sa.Column("digest", WORDS, nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("reason", WORDS, nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("run_id", "position"),
    )
    op.create_index("ix_output_digest", "output", ["digest"])

    op.create_table(
        "package",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("version", WORDS, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("run_id", "name"),
    )
    op.create_index("ix_package_name_version", "package", ["name", "version"])

    op.create_table(
        "param",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("type", WORDS, nullable=False),
        sa.Column("text", WORDS, nullable=False),
        sa.Column("num", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.CheckConstraint("type IN ('bool', 'int', 'float', 'str')", name="type"),
        sa.PrimaryKeyConstraint("run_id", "name"),
    )
    op.create_index("ix_param_name_num", "param", ["name", "num"])

    op.create_table(
        "source_file",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("path", WORDS, nullable=False),
        sa.Column("sha256", WORDS, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("run_id", "path"),
    )
    op.create_table(
        "verdict",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("original_id", sa.Integer(), nullable=False),
        sa.Column("outcome", WORDS, nullable=False),
        sa.Column("document", WORDS, nullable=False),
        sa.Column("box", WORDS, nullable=True),
        sa.Column("judged_by", WORDS, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["original_id"], ["run.id"]),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.CheckConstraint(
            "outcome IN ('identical', 'within_tolerance', 'different', "
            "'not_comparable', 'not_instrumented', 'failed')",
            name="outcome",
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_verdict_original_id", "verdict", ["original_id"])
    op.create_index("ix_verdict_run_id", "verdict", ["run_id"])


def downgrade() -> None:
    for table in (
        "verdict",
        "source_file",
        "param",
        "package",
        "output",
        "note",
        "metric_point",
        "metric",
        "log",
        "git_state",
        "flag",
        "fingerprint",
        "attempt",
        "run",
        "image_layer",
        "job",
        "image",
    ):
        op.drop_table(table)
