"""the schema of the first release: a new record is made from the tables of the code (migrate.py)"""

from __future__ import annotations

revision = "0014"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Never asked for: no record is older."""
