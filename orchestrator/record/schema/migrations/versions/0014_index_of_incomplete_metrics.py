"""an index of runs with incomplete metrics"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TORN = sa.text("metrics_incomplete IS NOT NULL")


def upgrade() -> None:
    op.create_index("ix_run_metrics_incomplete", "run", ["job_id"], sqlite_where=TORN, postgresql_where=TORN)


def downgrade() -> None:
    op.drop_index("ix_run_metrics_incomplete", "run")
