"""What alembic runs: always on the one connection that `migrate.py` hands over, in its transaction."""

from __future__ import annotations

from alembic import context

from orchestrator.record.schema.row_models import Row


def main() -> None:
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=Row.metadata,
        render_as_batch=True,  # SQLite can alter little: a changed table is made anew and copied
        transactional_ddl=True,
    )
    context.run_migrations()


main()
