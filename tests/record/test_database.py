from __future__ import annotations

import sqlite3
import stat
import sys
from dataclasses import replace

import pytest
from support.programs import ran
from support.records import new_run

from orchestrator.errors import RecordError
from orchestrator.record.database import database
from orchestrator.record.record import open_record
from orchestrator.settings import Settings

pytestmark = pytest.mark.usefixtures("migrated_anew")


def test_the_file_is_its_owners_and_in_wal_mode(sqlite_settings: Settings) -> None:
    with open_record(sqlite_settings):
        pass
    path = sqlite_settings.home / "reprise.db"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(sqlite_settings.home.stat().st_mode) == 0o700
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_every_connection_is_durable_and_checks_foreign_keys(sqlite_settings: Settings) -> None:
    with open_record(sqlite_settings) as record, record._database.reading() as connection:
        for pragma, value in (("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 120_000)):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


def test_a_newer_database_is_left_alone(sqlite_settings: Settings) -> None:
    with open_record(sqlite_settings):
        pass
    with sqlite3.connect(sqlite_settings.home / "reprise.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(RecordError, match="newer version of Reprise") as caught:
        open_record(sqlite_settings)
    assert caught.value.hint
    with sqlite3.connect(sqlite_settings.home / "reprise.db") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)


def test_a_file_that_is_no_database_is_left_alone(sqlite_settings: Settings) -> None:
    sqlite_settings.home.mkdir()
    (sqlite_settings.home / "reprise.db").write_text("my notes, more than a hundred bytes of them. " * 100)
    with pytest.raises(RecordError, match="not a database") as caught:
        open_record(sqlite_settings)
    assert "copy" in (caught.value.hint or "")
    assert (sqlite_settings.home / "reprise.db").read_text().startswith("my notes")


@pytest.mark.parametrize("url", ["mysql://ada:secret@host/db", "nonsense", "sqlite://"])
def test_what_is_no_database_of_ours_is_refused_without_its_password(
    sqlite_settings: Settings, url: str
) -> None:
    with pytest.raises(RecordError, match=r"SQLite|database URL") as caught:
        open_record(replace(sqlite_settings, database_url=url))
    assert "secret" not in str(caught.value)


def test_a_lock_that_stays_is_named_and_nothing_is_written(
    sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_record(sqlite_settings):
        pass
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.2)
    new = new_run()
    with open_record(sqlite_settings) as record:
        holder = sqlite3.connect(sqlite_settings.home / "reprise.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(RecordError, match="database is locked") as caught:
            record.submit(new)
        assert "others have been writing" in (caught.value.hint or "")
        assert record.state(new.id) is None  # readers are not held up
        holder.execute("ROLLBACK")
        holder.close()
        assert record.submit(new) == (new.id, True)


def test_a_folder_that_cannot_be_is_named(sqlite_settings: Settings) -> None:
    sqlite_settings.home.write_text("a file where the folder should be")
    with pytest.raises(RecordError, match="cannot be opened") as caught:
        open_record(sqlite_settings)
    assert "REPRISE_HOME" in (caught.value.hint or "")


def test_a_second_opening_imports_no_alembic(sqlite_settings: Settings) -> None:
    with open_record(sqlite_settings) as record:
        run, _ = record.submit(new_run())
    code = (
        "import sys; from orchestrator.settings import load;"
        "from orchestrator.record.record import open_record;"
        "record = open_record(load());"
        "print(record.find(sys.argv[1]), 'alembic' in sys.modules, 'docker' in sys.modules)"
    )
    command = [sys.executable, "-c", code, run[:6]]
    done = ran(*command, env={"REPRISE_HOME": str(sqlite_settings.home)})
    assert done.stdout.split() == [run, "False", "False"]
