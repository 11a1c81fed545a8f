"""reruns that are stopped where they part from their original: run.stop_after asks, run.parted_at says so"""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("stop_after", "parted_at"):
        op.add_column("run", Column(name, BigInteger, nullable=True))
