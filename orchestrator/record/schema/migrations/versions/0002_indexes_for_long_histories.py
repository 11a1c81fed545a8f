"""indexes for long histories"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("param", "metric"):
        op.create_index(f"ix_{table}_name_num_run_id", table, ["name", "num", "run_id"])
        op.drop_index(f"ix_{table}_name_num", table)
    op.create_index("ix_run_state_created_at", "run", ["state", "created_at"])
    op.drop_index("ix_run_state", "run")
    op.create_index("ix_run_seconds", "run", ["seconds"])


def downgrade() -> None:
    op.drop_index("ix_run_seconds", "run")
    op.create_index("ix_run_state", "run", ["state"])
    op.drop_index("ix_run_state_created_at", "run")
    for table in ("param", "metric"):
        op.create_index(f"ix_{table}_name_num", table, ["name", "num"])
        op.drop_index(f"ix_{table}_name_num_run_id", table)
