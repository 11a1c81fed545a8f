"""What only a server can do: be away, be restarted in the middle of everything, refuse."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from support.ledger_checks import told, wrong
from support.records import finish_run, new_run
from support.services import PostgresServer, free_port, postgres_server

from orchestrator.errors import RecordError
from orchestrator.record.database import postgres as module
from orchestrator.record.ledger.snapshot import Snapshot
from orchestrator.record.record import open_record
from orchestrator.record.run_record import HistoryFilter
from orchestrator.record.schema.table_base import METADATA
from orchestrator.run.attempt_model import Result, State
from orchestrator.settings import load

pytestmark = pytest.mark.server


def test_runs_go_on_through_a_restart_in_the_middle(tmp_path: Path) -> None:
    """Each is there once, finished once, whatever was cut off where."""
    with postgres_server() as server:
        settings = load({"REPRISE_HOME": str(tmp_path), "REPRISE_DATABASE_URL": server.url()})
        runs = [[new_run() for _ in range(12)] for _ in range(8)]
        begun = threading.Event()

        def work(number: int) -> None:
            with open_record(settings) as record:
                for new in runs[number]:
                    assert record.submit(new) == (new.id, True)
                    begun.set()
                    attempt = record.claim(new.id, "box", "boot", f"thread {number}")
                    assert attempt == 1
                    record.move(new.id, attempt, State.RUNNING)
                    record.move(new.id, attempt, State.COLLECTING)
                    record.finish(new.id, attempt, Result(state=State.SUCCEEDED, exit_code=0))

        with ThreadPoolExecutor(len(runs)) as pool:
            works = [pool.submit(work, number) for number in range(len(runs))]
            assert begun.wait(120)
            for _ in range(3):
                server.stop("immediate")
                server.start()
            for done in works:
                done.result(120)
        with open_record(settings) as record:
            lines = record.history.lines(HistoryFilter())
            assert sorted(line.id for line in lines) == sorted(new.id for items in runs for new in items)
            assert {line.state for line in lines} == {State.SUCCEEDED}
            assert wrong(record) == []
            each = Counter((event["run"], event["kind"]) for event in told(record) if event["run"])
            assert set(each.values()) == {1, 2}
            assert {kind for (_, kind), count in each.items() if count == 2} == {"run.moved"}


def test_what_cannot_be_reached_is_named_without_its_password(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    nobody = f"postgresql://ada:secret@127.0.0.1:{free_port()}/reprise"
    for url, hint in ((nobody, "server runs"), (postgres.url("nothing"), "createdb")):
        with pytest.raises(RecordError) as caught:
            open_record(load({"REPRISE_DATABASE_URL": url}))
        assert hint in (caught.value.hint or "")
        assert "secret" not in str(caught.value)


def test_people_are_told_what_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 1.5)
    monkeypatch.setattr(module, "QUIET", 0.5)
    url = f"postgresql://ada:secret@127.0.0.1:{free_port()}/record"
    with pytest.raises(RecordError):
        open_record(load({"REPRISE_HOME": str(tmp_path), "REPRISE_DATABASE_URL": url}))
    (said,) = caplog.messages
    assert "does not answer" in said
    assert "secret" not in said


def test_a_wrong_name_is_not_waited_for(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_seconds: float) -> None:
        raise AssertionError("it waited")

    monkeypatch.setattr(module.time, "sleep", never)
    with pytest.raises(RecordError, match="does not exist"):
        open_record(load({"REPRISE_DATABASE_URL": postgres.url("nothing")}))


def test_indexes_over_some_rows_hold_only_these(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.url("some_rows")
    postgres.sql("CREATE DATABASE some_rows")
    settings = load({"REPRISE_HOME": str(tmp_path), "REPRISE_DATABASE_URL": url})
    query = "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'ix%%' AND indexdef LIKE '%% WHERE %%'"
    with open_record(settings) as record, record.reading() as connection:
        partial = set(connection.exec_driver_sql(query).scalars())
    wanted = {
        str(index.name)
        for table in METADATA.tables.values()
        for index in table.indexes
        if index.dialect_options["sqlite"]["where"] is not None
    }
    assert len(wanted) >= 3
    assert partial == wanted


def test_what_a_server_is_set_to_changes_nothing_that_is_read(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """Its owner may set how values are written, and what a transaction sees, for each session."""
    url = postgres.new_record()
    for setting in (
        "default_transaction_isolation = 'repeatable read'",
        "DateStyle = 'German'",
        "extra_float_digits = 0",
        "timezone = 'Asia/Tokyo'",
        "client_encoding = 'LATIN1'",
        "bytea_output = 'escape'",
    ):
        postgres.sql(f"ALTER DATABASE {url.rpartition('/')[2]} SET {setting}")
    settings = load({"REPRISE_HOME": str(tmp_path), "REPRISE_DATABASE_URL": url})

    def work(number: int) -> None:
        with open_record(settings) as record:
            for _ in range(8):
                finish_run(record, new_run(), seconds=number + 0.1 + 0.2, metrics={"loss": 1 / 3})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    with open_record(settings) as record:
        lines = record.history.lines(HistoryFilter())
        assert len(lines) == 32 and {line.seconds for line in lines} == {n + 0.1 + 0.2 for n in range(4)}
        record.annotations.note(lines[0].id, "naïve 中文", "ada")
        assert record.annotations.marks(lines[0].id).notes[0].text == "naïve 中文"
        assert wrong(record) == []


def test_a_database_of_bytes_holds_texts(postgres: PostgresServer, tmp_path: Path) -> None:
    """SQL_ASCII, as `initdb` makes it where no language is set: drivers take its texts for bytes."""
    postgres.sql("CREATE DATABASE plain ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    settings = load({"REPRISE_HOME": str(tmp_path), "REPRISE_DATABASE_URL": postgres.url("plain")})
    with open_record(settings) as record:
        run = finish_run(record, new_run(description="naïve 中文"))
        assert record.run(run).description == "naïve 中文"
        assert wrong(record) == []


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "0044-03-15 BC", "20000-01-01"])
def test_a_moment_that_python_cannot_hold_costs_its_row(
    postgres: PostgresServer, tmp_path: Path, moment: str
) -> None:
    url = postgres.new_record()
    with open_record(load({"REPRISE_HOME": str(tmp_path), "REPRISE_DATABASE_URL": url})) as record:
        good, bad = finish_run(record, new_run()), finish_run(record, new_run())
        with psycopg.connect(url, autocommit=True) as others:
            changed = "UPDATE run SET created_at = %s, finished_at = %s WHERE public_id = %s"
            others.execute(changed, (moment, moment, bad))
            others.execute("UPDATE event SET at = %s WHERE run = %s", (moment, bad))
        assert [line.id for line in record.history.lines(HistoryFilter())] == [good]
        with pytest.raises(RecordError, match=bad):
            record.run(bad)
        with record.reading() as connection:
            found = {one.run: one.rows is None for page in Snapshot(connection).runs() for one in page}
            assert found == {good: False, bad: True}
            assert len(list(Snapshot(connection).ledger_events())) == record.ledger.head().size
