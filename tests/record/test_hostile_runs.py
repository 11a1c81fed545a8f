"""Runs that somebody else wrote, by a bundle or straight into a row: one of them costs itself, no more."""

from __future__ import annotations

import copy
import json
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import Table, insert, select, update
from support.examples import EVERYTHING, share, tries
from support.forged_rows import engine_of
from support.records import BOX, ONE, finish_run, full_result, new_run

from orchestrator.cli.terminal.console import print_document, print_view, show
from orchestrator.digest import Digest
from orchestrator.errors import RepriseError
from orchestrator.record.history.changes import ASPECTS
from orchestrator.record.ledger.read_ledger import EventFilter
from orchestrator.record.record import Record, open_record
from orchestrator.record.run_record import HistoryFilter
from orchestrator.record.schema import tables
from orchestrator.record.transfer.import_runs import Carried
from orchestrator.run.attempt_model import Fingerprint
from orchestrator.settings import Settings
from orchestrator.spec.inputs import InputData
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import GitState
from orchestrator.verdict.verdict_model import Outcome, Verdict
from orchestrator.view.ledger_view import events_view
from orchestrator.view.runs.history_view import Answer, history_view
from orchestrator.view.runs.run_view import run_document, run_page

SOURCE = Digest.of(b"bundle")
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def whole(record: Record, **changes: Any) -> str:
    """A finished run with a row in every table."""
    git = GitState(
        remote="r", commit="c0ffee", branch="b", author="a", committed_at=MOMENT, subject="s", dirty=True
    )
    run, _ = record.submit(new_run(params={"lr": 0.1}, git=git, **changes))
    record.claim(run, "box", "boot", "pid 1")
    result = full_result(
        metrics={"accuracy": 0.5},
        fingerprint=Fingerprint(
            bit_class={"gpus": [], "cpu_isa": ["avx2"], "effective": {}},
            perf_class={"cpu_model": "x", "cores": 2},
            identity={"box": "b", "gpus": []},
            bit_digest=ONE,
        ),
    )
    record.finish(run, 1, result)
    return run


def look(record: Record, run: str) -> None:
    """What people look at runs with; whatever stands there, only errors for people come out of it."""

    @click.command()
    def command() -> None:
        everything = HistoryFilter(limit=None)
        view = history_view(Answer(everything, record.history.page(everything), None, ()))
        print_view(view, as_json=False)
        print_document(view.document)
        try:
            found = record.run_with_points(run)
        except RepriseError:
            return
        show(run_page(found))
        print_document(run_document(found, series=True))

    done = CliRunner().invoke(command)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    for ask in (
        record.history.verdicts,
        record.history.lineage,
        record.annotations.remarks,
        record.open_run,
        record.launched,
    ):
        with suppress(RepriseError):
            ask(run)
    record.history.origin([ONE])
    record.history.mentions([ONE])
    record.open_runs("box")
    record.unjudged_reruns("box")


DEEP: Any = json.loads("[" * 60 + "]" * 60)
HOSTILE: list[Any] = [
    "NaN", "Infinity", 1e308, -1e300, 2**62, 2**63, -(2**70), 10**400, -1, 0, True, None, "", [], {}, DEEP,
    "x" * 100_000, "a\x1b]0;PWN\x07\x1b[31m\u202e\nstate succeeded", "\ud800", "\0", "../../etc/passwd",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999Z", "1969-12-31T23:59:59Z", "2026-01-01T00:00:00",
    "sha256:" + "0" * 64, {"gpus": 5, "effective": 7, "cpu_isa": 1},
    {"gpus": [1, None, [[]]], "driver": {"a": [1]}},
    {"cpu_model": [1], "cores": {"a": 1}, "power_limits": 3}, [["a"]], {"a\x1b[31m\nb": 1.0, "": 2.0},
]  # fmt: skip


def paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [above, *(path for key, inner in items for path in paths(inner, (*above, key)))]


@given(data=st.data())
@examples(
    max_examples=tries(250), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_a_hostile_value_in_a_bundle_is_refused_or_harms_nothing(data: st.DataObject, record: Record) -> None:
    own = [line.id for line in record.history.lines(HistoryFilter(job="own")) if line.imported is None]
    first = own[0] if own else whole(record, job="own")
    document = json.loads(record.transfer.carry(first).to_bytes())
    document["run"]["id"] = secrets.token_hex(8)
    path = data.draw(st.sampled_from([path for path in paths(document) if path and path != ("run", "id")]))
    target = document
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = copy.deepcopy(data.draw(st.sampled_from(HOSTILE)))
    try:
        item = Carried.from_bytes(json.dumps(document).encode())
        record.transfer.bring_in(lambda: [item], "bob", SOURCE)
    except (RepriseError, ValueError):
        return  # said in one line by whoever reads the bundle
    look(record, document["run"]["id"])
    assert first in {line.id for line in record.history.lines(HistoryFilter(limit=None))}


def test_the_given_values(record: Record) -> None:
    """Each of them broke the history, or a verb that shows the run, before there were ranges."""
    first = whole(record)
    plain = json.loads(record.transfer.carry(first).to_bytes())
    refused: dict[str, Callable[[Any], Any]] = {
        "created 9999": lambda run: run.update(created_at="9999-12-31T23:59:59.999999Z"),
        "created 1": lambda run: run.update(created_at="0001-01-01T00:00:00Z"),
        "started before all time": lambda run: run.update(started_at="0001-01-01T00:00:00+14:00"),
        "committed in 9999": lambda run: run["git"].update(committed_at="9999-12-31T23:59:59-14:00"),
        "NaN seconds": lambda run: run.update(seconds="NaN"),
        "endless seconds": lambda run: run.update(seconds="Infinity"),
        "1e308 seconds": lambda run: run.update(seconds=1e308),
        "GPUs that are a number": lambda run: run["fingerprint"].update(
            bit_class={"gpus": 5, "effective": 7}
        ),
        "a model that is a list": lambda run: run["fingerprint"].update(perf_class={"cpu_model": [1]}),
        "a box that is a group": lambda run: run["fingerprint"].update(identity={"box": {"x": 1}}),
        "a deep fingerprint": lambda run: run["fingerprint"].update(bit_class={"x": DEEP}),
        "5 MB of a note": lambda run: run.update(notes=["x" * 5_000_000]),
        "an exit code of 62 bits": lambda run: run.update(exit_code=2**62),
        "an attempt of 62 bits": lambda run: run.update(attempt=2**62),
        "a long name": lambda run: run.update(metrics={"x" * 100_000: 3.0}),
        "a name that is a path": lambda run: run.update(id="../../x"),
    }
    for change in refused.values():
        document = copy.deepcopy(plain)
        document["run"]["id"] = secrets.token_hex(8)
        change(document["run"])
        data = json.dumps(document).encode()
        with pytest.raises(ValueError, match=r"run|16 hex"):
            Carried.from_bytes(data)
    assert [line.id for line in record.history.lines(HistoryFilter(limit=None))] == [first]


IN_ROWS: list[Any] = [
    "", "x", "NaN", "[]", "{}", "null", "[" * 3000, '{"gpus": 5, "cpu_isa": 3, "vbios": 1, "effective": 1}',
    '"x"', "sha256:x", "../../x", "--help", "\x1b[31m\u202e\n", "9" * 400,
    "9999-12-31 23:59:59", "0001-01-01 00:00:00",
    -1, 0, 2**31 - 1, 2**62, 1e308, datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC), None,
]  # fmt: skip
OF_RUNS = [
    table for name, table in tables.METADATA.tables.items()
    if ("run_id" in table.columns and name not in ("log_chunk", "launch")) or name == "run"
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.property
@pytest.mark.parametrize("table", OF_RUNS, ids=lambda table: table.name)
def test_a_row_that_somebody_wrote_costs_that_row(table: Table, record: Record, settings: Settings) -> None:
    """Each column of each table of a run, values of every kind that the database takes there. On Postgres one
    column of each type, as its driver converts types; in the long shows every column."""
    first, second = whole(record), whole(record)
    engine = engine_of(settings)
    keys = {"id", "run_id", "position", "number", "job_id", "image_id", "rerun_of", "original_id"}
    owner = table.c.id if table.name == "run" else table.c.run_id
    with engine.connect() as connection:
        key = connection.execute(select(tables.run.c.id).where(tables.run.c.public_id == second)).scalar_one()
        before = connection.execute(select(table).where(owner == key)).mappings().first()
    of_each_type: set[str] = set()
    for number, column in enumerate(table.columns):
        if before is None or column.name in keys:
            continue
        if engine.dialect.name != "sqlite" and not EVERYTHING and str(column.type) in of_each_type:
            continue
        of_each_type.add(str(column.type))
        for value in share(IN_ROWS, number, of=16):
            with engine.connect() as connection:
                try:
                    raw = f'UPDATE "{table.name}" SET "{column.name}" = :value WHERE "{owner.name}" = :key'
                    connection.exec_driver_sql(*_bound(engine, raw, value, key))
                    connection.commit()
                except Exception:  # noqa: BLE001 - the database does not take it: nobody can write it
                    continue
            name = second
            if (table.name, column.name) == ("run", "public_id"):
                name = str(value)
            look(record, name)
            assert first in {line.id for line in record.history.lines(HistoryFilter(limit=None))}, (
                column,
                value,
            )
        with engine.begin() as connection:
            connection.execute(update(table).where(owner == key).values({column.name: before[column.name]}))


def _bound(engine: Any, text: str, value: Any, key: int) -> tuple[str, Any]:
    if engine.dialect.name == "sqlite":
        held = value.isoformat(" ") if isinstance(value, datetime) else value
        return text.replace(":value", "?").replace(":key", "?"), (held, key)
    return text.replace(":value", "%s").replace(":key", "%s"), (value, key)


def test_a_live_log_of_others_is_read_up_to_a_size(record: Record, settings: Settings) -> None:
    """What stands in its rows is read by who looks on, and by the box that goes on with it."""
    run, _ = record.submit(new_run())
    record.claim(run, "box", "boot", "pid 1")
    record.append_log(run, 1, 0, b"begins")
    far = [1 << 62, (1 << 63) - 1]
    with engine_of(settings).begin() as connection:
        key = connection.execute(select(tables.run.c.id)).scalar_one()
        rows = [{"start": 10**7 * n, "data": bytes(10**6)} for n in range(1, 60)]
        rows += [{"start": start, "data": b"x"} for start in (-5, *far)]
        connection.execute(insert(tables.log_chunk), [{"run_id": key, "number": 1, **row} for row in rows])
    pieces = record.live_log(run, 1, 0)
    assert pieces[0] == (0, b"begins")
    assert sum(len(data) for _, data in pieces) < 4 << 20
    seen, start = 1, 6
    while pieces := record.live_log(run, 1, start):
        start = pieces[-1][0] + len(pieces[-1][1])
        seen += len(pieces)
    assert seen == 60, "the rest comes when it is asked for"


def others(settings: Settings) -> sqlite3.Connection:
    """Somebody's own tool: it asks for no constraint."""
    return sqlite3.connect(settings.home / "reprise.db", isolation_level=None)


@pytest.mark.parametrize("table", ["job", "image"])
def test_a_run_whose_job_or_image_is_gone_costs_itself(sqlite_settings: Settings, table: str) -> None:
    with open_record(sqlite_settings) as record:
        first, second = whole(record), whole(record, job="other", image="other")
        with closing(others(sqlite_settings)) as connection:
            connection.execute(f"DELETE FROM {table} WHERE id = 2")
        look(record, second)
        for limit in (None, 10):
            assert [line.id for line in record.history.lines(HistoryFilter(limit=limit))] == [first]
        with pytest.raises(RepriseError):
            record.history.line(second)


def test_bytes_that_are_no_text_are_written_out(sqlite_settings: Settings) -> None:
    with open_record(sqlite_settings) as record:
        run = whole(record)
        record.annotations.note(run, "a note", "ada")
        with closing(others(sqlite_settings)) as connection:
            for column in ("message", "submitted_by", "description"):
                connection.execute(f"UPDATE run SET {column} = CAST(x'61ff' AS TEXT)")
            connection.execute("UPDATE annotation SET text = CAST(x'61ff' AS TEXT)")
            connection.execute("UPDATE event SET made_by = CAST(x'61ff' AS TEXT) WHERE idx = 3")
        look(record, run)
        (line,) = record.history.lines(HistoryFilter())
        assert (line.message, record.run(run).submitted_by) == ("a\\xff", "a\\xff")
        assert record.annotations.marks(run).notes[0].text == "a\\xff"
        assert record.annotations.tag(run, ["seen"], "ada") == ["seen"]
        events = record.ledger.events(EventFilter())
        assert [event.by for event in events][3] == ""
        assert len(events) == record.ledger.head().size


@pytest.mark.parametrize(
    "document", [b"[" * 100_000, b"{}", b'{"index":3,"kind":"run.noted","data":7}', "text"], ids=range(4)
)
def test_a_damaged_event_costs_its_line(sqlite_settings: Settings, document: Any) -> None:
    with open_record(sqlite_settings) as record:
        whole(record)
        with closing(others(sqlite_settings)) as connection:
            connection.execute("UPDATE event SET document = ? WHERE idx = 3", (document,))
        events = record.ledger.events(EventFilter())
        view = events_view(events, len(events), more=False)
        assert view.document["events"][3]["data"] is None
        assert list(view.page)


def test_the_best_run_that_can_be_read_is_the_best(sqlite_settings: Settings) -> None:
    with open_record(sqlite_settings) as record:
        first, second, third = (finish_run(record, new_run(), metrics={"accuracy": 0.5}) for _ in range(3))
        with closing(others(sqlite_settings)) as connection:
            for run in (first, third):
                connection.execute("UPDATE run SET seconds = 'x' WHERE public_id = ?", (run,))
        assert record.history.best("digits", "accuracy").line.id == second


@pytest.mark.parametrize("change", ["public_id = '../x'", "description = CAST(x'ff' AS BLOB)"])
def test_a_rerun_that_somebody_wrote_is_left_out_and_the_others_are_judged(
    sqlite_settings: Settings, change: str
) -> None:
    with open_record(sqlite_settings) as record:
        original = whole(record)
        first, second = (finish_run(record, new_run(rerun_of=original)) for _ in range(2))
        with closing(others(sqlite_settings)) as connection:
            connection.execute(f"UPDATE run SET {change} WHERE public_id = ?", [first])
        assert record.unjudged_reruns("box") == [second]


SORTS = ("metrics.accuracy", "-metrics.accuracy.min", "params.lr", "seconds", "seed", "created", "job")
ODD = ["x", "[" * 3000, "CAST(x'ff' AS TEXT)", "2026-01-01"]
TABLES = ("event", "ledger", "job", "image", "image_layer", "run", "attempt", "launch", "box", "param")


@pytest.mark.parametrize("table", TABLES)
def test_what_stands_in_a_row_ends_no_verb(sqlite_settings: Settings, table: str) -> None:
    """Each column of each table, beside those that `look` reads: what a verb says is an error for people."""
    columns = tables.METADATA.tables[table].columns
    names = [column.name for column in columns if not (column.primary_key or column.foreign_keys)]
    taken, ended = 0, []
    with open_record(sqlite_settings) as record:
        run, rerun = judged_pair(record)
        item = record.transfer.carry(rerun)
        history, sets = record.history, record.data_sets
        ask: list[Callable[[], Any]] = [
            *(partial(history.page, HistoryFilter(limit=5, changed=aspect)) for aspect in ASPECTS),
            lambda: history.best("digits", "accuracy"),
            *(partial(history.page, HistoryFilter(limit=1, sort=sort)) for sort in SORTS),
            lambda: history.line(run),
            lambda: record.transfer.carry(rerun, attempts=True),
            lambda: record.transfer.try_in(lambda: [item], SOURCE),
            lambda: (sets.known_input(ONE), sets.versions(), sets.mentions([ONE]), sets.find("set")),
            lambda: record.image(item.image.digest),
            lambda: (record.boxes.all(), record.annotations.names(), record.annotations.marks(run)),
            lambda: (history.lineage(run), history.lineage(rerun)),
            lambda: (
                record.everything.oldest_open(),
                record.everything.named([ONE]),
                record.series(run, "loss"),
            ),
            lambda: (record.ledger.head(), record.ledger.events(EventFilter()), record.ledger.head_due()),
        ]
        with closing(others(sqlite_settings)) as connection:
            for name in names:
                for value in share(ODD, names.index(name)):
                    first = f'rowid = (SELECT min(rowid) FROM "{table}")'
                    before = connection.execute(f'SELECT "{name}" FROM "{table}" WHERE {first}').fetchone()
                    raw = value if value.startswith("CAST") else f"'{value}'"
                    try:
                        changed = connection.execute(f'UPDATE "{table}" SET "{name}" = {raw} WHERE {first}')
                    except sqlite3.IntegrityError:  # the database does not take it
                        continue
                    taken += changed.rowcount
                    for question in ask:
                        try:
                            question()
                        except RepriseError:
                            continue
                        except Exception as error:  # noqa: BLE001  (told below)
                            ended.append((name, value[:20], repr(error)[:200]))
                    if before is not None:
                        connection.execute(f'UPDATE "{table}" SET "{name}" = ? WHERE {first}', before)
    assert ended == []
    assert taken


def judged_pair(record: Record) -> tuple[str, str]:
    """A run and its judged rerun, with rows in the tables that several runs share."""
    record.boxes.introduce(BOX)
    files = [{"path": path, "digest": ONE, "size": 3} for path in ("a.csv", "b.csv")]
    inputs = InputData.model_validate({"digest": ONE, "folder": True, "count": 2, "size": 6, "files": files})
    program = Program(name="digits", command=("python", "t.py"), params={"lr": 0.1}, inputs={"data": ONE})
    record.data_sets.add("set", inputs, "ada")
    made = []
    for original in (None, 0):
        rerun_of = None if original is None else made[original]
        run, _ = record.submit(new_run(program=program, inputs=(inputs,), rerun_of=rerun_of))
        record.claim(run, "b0", "boot", "pid 1")
        record.requeue(run, 1, "its node died")
        record.claim(run, "b0", "boot", "pid 2")
        bits = {"gpus": [], "cpu_isa": ["avx2"], "effective": {}}
        print_ = Fingerprint(bit_class=bits, perf_class={}, identity={"box": "b", "gpus": []}, bit_digest=ONE)
        record.finish(run, 2, full_result(metrics={"accuracy": 0.5}, fingerprint=print_))
        made.append(run)
    verdict = Verdict(outcome=Outcome.IDENTICAL, original=made[0], rerun=made[1], summary="")
    record.add_verdict(verdict, "b0", "ada")
    record.annotations.name("prod", made[0], "ada")
    return made[0], made[1]
