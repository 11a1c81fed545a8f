from __future__ import annotations

import math
import random
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, inspect, select
from sqlmodel import Session, SQLModel

from orchestrator.record.database.connect import open_database
from orchestrator.record.database.database import Database
from orchestrator.record.record import Record, open_record
from orchestrator.record.run_record import HistoryFilter
from orchestrator.record.schema import migrate, tables
from orchestrator.record.schema.migrate import HEAD, bring_to_head, version
from orchestrator.record.schema.row_models import MODELS
from orchestrator.run.metrics.series import MetricPoint
from orchestrator.settings import Settings
from orchestrator.verdict.verdict_model import Outcome


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


def test_migrations_give_exactly_the_tables_of_the_code(tmp_path: Path) -> None:
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


def test_rows_are_read_as_sqlmodel_objects(sqlite_settings: Settings, making: tuple[Any, Any]) -> None:
    make_run, finish_run = making
    with open_record(sqlite_settings) as record:
        made = finish_run(record, make_run(), metrics={"accuracy": 0.5})
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


def indexes(database: Database) -> set[str]:
    with database.reading() as connection:
        return {str(item["name"]) for item in inspect(connection).get_indexes("run")}


def test_a_record_of_the_first_schema_is_brought_to_head_with_its_runs(
    settings: Settings, record: Record, finished: Callable[..., str]
) -> None:
    from alembic import command
    from alembic.config import Config

    run = finished(params={"lr": 0.1}, result={"metrics": {"acc": 0.5}})
    pick = random.Random(8)
    for _ in range(20):
        values = [pick.choice([0.0, -0.0, 1.0, 2.5, math.nan, math.inf, -math.inf]) for _ in range(6)]
        series = [
            MetricPoint(name=pick.choice("ab"), step=pick.choice([None, step]), value=value)
            for step, value in enumerate(values)
        ]
        final = {point.name: pick.choice([point.value, 1.0]) for point in series}
        finished(result={"metrics": final, "series": tuple(series)})
    before, lines = record.run(run), record.history.lines(HistoryFilter())
    database = open_database(settings.database_url)
    config = Config()
    config.set_main_option("script_location", str(migrate.SCRIPTS))
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    assert version(database) == "0001"
    assert "ix_run_seconds_id" not in indexes(database)
    with open_record(settings) as opened:
        assert opened.run(run) == before
        assert repr(opened.history.lines(HistoryFilter())) == repr(
            lines
        )  # what was reached, too; NaN is not NaN
        assert opened.history.best("digits", "acc").line.id == run
    assert version(database) == HEAD
    assert "ix_run_seconds_id" in indexes(database)


def test_a_downgrade_leaves_nothing(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    database = fresh(tmp_path)
    config = Config()
    config.set_main_option("script_location", str(migrate.SCRIPTS))
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert schema(tmp_path / "home" / "reprise.db") == {}


def test_the_words_of_a_verdict_are_the_verdict_rooms() -> None:
    assert set(tables.OUTCOMES) == {outcome.value for outcome in Outcome}
