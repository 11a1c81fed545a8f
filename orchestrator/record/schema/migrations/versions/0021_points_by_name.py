"""the points of one metric of a run are found without reading those of its other metrics"""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_metric_point_run_id_name_position", "metric_point", ["run_id", "name", "position"])
