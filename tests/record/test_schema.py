from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select
from sqlmodel import Session, SQLModel
from support.records import finish_run, new_run

from orchestrator.errors import RecordError
from orchestrator.record.database.connect import open_database
from orchestrator.record.database.database import Database
from orchestrator.record.record import open_record
from orchestrator.record.schema import migrate, tables
from orchestrator.record.schema.migrate import HEAD, bring_to_head, version
from orchestrator.record.schema.row_models import MODELS
from orchestrator.settings import Settings
from orchestrator.verdict.verdict_model import Outcome

FIRST_RELEASE = Path(__file__).with_name("data") / "schema-0014.sql"


def fresh(tmp_path: Path) -> Database:
    database = open_database(f"sqlite:///{tmp_path / 'home' / 'reprise.db'}")
    bring_to_head(database)
    return database


def schema(path: Path) -> dict[str, list[str]]:
    """Table or index -> its columns and constraints, sorted: the order of constraints means nothing."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {
        # A table that a migration made anew has its name in quotes; what SQLite adds comes last, in one line.
        name: sorted(
            line.strip().rstrip(",")
            for line in re.sub(
                r", (\w+ [A-Z]+)(?=$|\n?\)$|, )", r"\n\1", re.sub(r'\n\)|"', "", sql)
            ).splitlines()
        )
        for name, sql in rows
        if name != "alembic_version"
    }


def test_a_new_record_has_exactly_the_tables_of_the_code(tmp_path: Path) -> None:
    fresh(tmp_path)
    plain = tmp_path / "plain.db"
    tables.METADATA.create_all(create_engine(f"sqlite:///{plain}"))
    assert schema(tmp_path / "home" / "reprise.db") == schema(plain)
    assert len(schema(plain)) > 17


def test_every_table_is_an_sqlmodel_class_with_a_field_for_each_column() -> None:
    assert MODELS.keys() == tables.METADATA.tables.keys()
    for name, model in MODELS.items():
        assert issubclass(model, SQLModel)
        assert list(model.model_fields) == [column.name for column in tables.METADATA.tables[name].columns]


def test_rows_are_read_as_sqlmodel_objects(sqlite_settings: Settings) -> None:
    with open_record(sqlite_settings) as record:
        made = finish_run(record, new_run(), metrics={"accuracy": 0.5})
    run, metric = MODELS["run"], MODELS["metric"]
    with Session(create_engine(f"sqlite:///{sqlite_settings.home / 'reprise.db'}")) as session:
        [(one, value)] = session.execute(select(run, metric).where(metric.run_id == run.id)).all()
        assert (one.public_id, one.state, value.name, value.num) == (made, "succeeded", "accuracy", 0.5)


def test_alembic_sees_nothing_to_change(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with fresh(tmp_path).reading() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, tables.METADATA) == []


def test_head_is_the_newest_migration(tmp_path: Path) -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(migrate.SCRIPTS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD
    assert version(fresh(tmp_path)) == HEAD


def dumped(home: Path, named: str) -> Database:
    """A record whose schema is the first release's, but for the version that it names."""
    home.mkdir(mode=0o700)
    with sqlite3.connect(home / "reprise.db") as connection:
        connection.executescript(FIRST_RELEASE.read_text().replace("'0014'", f"'{named}'"))
    return open_database(f"sqlite:///{home / 'reprise.db'}")


def test_a_record_of_the_first_release_is_brought_to_the_tables_of_the_code(tmp_path: Path) -> None:
    """A change of the tables without a migration fails here."""
    database = dumped(tmp_path / "old", "0014")
    bring_to_head(database)
    assert version(database) == HEAD
    fresh(tmp_path)
    assert schema(tmp_path / "old" / "reprise.db") == schema(tmp_path / "home" / "reprise.db")


@pytest.mark.parametrize(("named", "said"), [("0007", "older than the first release"), ("9999", "newer")])
def test_a_record_that_this_code_does_not_know_is_left_alone(tmp_path: Path, named: str, said: str) -> None:
    database = dumped(tmp_path / "old", named)
    before = (tmp_path / "old" / "reprise.db").read_bytes()
    with pytest.raises(RecordError, match=said):
        bring_to_head(database)
    assert (tmp_path / "old" / "reprise.db").read_bytes() == before


def test_a_record_without_its_version_is_left_alone(tmp_path: Path) -> None:
    """Taken for an empty one, it would get a second ledger."""
    fresh(tmp_path).close()
    path = tmp_path / "home" / "reprise.db"
    for lost in ("DELETE FROM alembic_version", "DROP TABLE alembic_version"):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(lost)
        with pytest.raises(RecordError, match="a table annotation already"):
            bring_to_head(open_database(f"sqlite:///{path}"))
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM ledger").fetchone() == (1,)


def test_the_words_of_a_verdict_are_the_verdict_rooms() -> None:
    assert set(tables.OUTCOMES) == {outcome.value for outcome in Outcome}
