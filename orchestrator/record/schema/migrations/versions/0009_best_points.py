"""the least and the greatest value of each metric"""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# The first of the points with the least (greatest) value; a final value without a point where it is beyond.
_FILL = """
UPDATE metric SET {column} = found.num, {column}_step = found.step
FROM (
    SELECT run_id, name, num, step,
        row_number() OVER (PARTITION BY run_id, name ORDER BY num {direction}, position) AS place
    FROM metric_point WHERE num IS NOT NULL
) AS found
WHERE found.place = 1 AND found.run_id = metric.run_id AND found.name = metric.name
    AND (metric.num IS NULL OR found.num {sign} metric.num)
"""
_LAST = """
UPDATE metric SET last_step = found.step
FROM (
    SELECT run_id, name, text, step,
        row_number() OVER (PARTITION BY run_id, name ORDER BY position DESC) AS place
    FROM metric_point
) AS found
WHERE found.place = 1 AND found.run_id = metric.run_id AND found.name = metric.name
    AND found.text = metric.text
"""
_INDEXES = [[*owner, "name", value, "run_id"] for owner in ([], ["job_id"]) for value in ("low", "high")]
_NEW = ("low", "low_step", "high", "high_step", "last_step")


def upgrade() -> None:
    # SQLite would write the new columns behind the constraints.
    recreate: Literal["always", "auto"] = "always" if op.get_bind().dialect.name == "sqlite" else "auto"
    with op.batch_alter_table("metric", recreate=recreate) as batch:
        for column in _NEW:
            kind = sa.BigInteger() if column.endswith("step") else sa.Float()
            batch.add_column(sa.Column(column, kind, nullable=True))
    op.execute("UPDATE metric SET low = num, high = num")
    op.execute(_FILL.format(column="low", direction="ASC", sign="<="))
    op.execute(_FILL.format(column="high", direction="DESC", sign=">="))
    op.execute(_LAST)
    for columns in _INDEXES:
        op.create_index(f"ix_metric_{'_'.join(columns)}", "metric", columns)


def downgrade() -> None:
    for columns in _INDEXES:
        op.drop_index(f"ix_metric_{'_'.join(columns)}", "metric")
    with op.batch_alter_table("metric") as batch:
        for column in _NEW:
            batch.drop_column(column)
