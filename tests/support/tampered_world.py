"""A record with a row in every table and real bytes behind them, and ways to get at it behind our back."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Enum as OneOf

from orchestrator.audit.findings import Finding
from orchestrator.audit.heads.local_copy import ledgers_path, local_path
from orchestrator.audit.heads.signed_heads import copy_to_file, sign_ledger
from orchestrator.audit.heads.signed_note import sign_head
from orchestrator.audit.keys import signing_key
from orchestrator.audit.run_audit import Audit, AuditPart, audit
from orchestrator.digest import Digest, canonical_json
from orchestrator.launch.session import Session
from orchestrator.record.ledger.merkle import Frontier, leaf_hash
from orchestrator.record.run_record import ImageFacts, InputOrigin, Wanted
from orchestrator.record.schema import tables
from orchestrator.record.store.blob_store import Store
from orchestrator.run.attempt_model import (
    Log,
    LoggedParam,
    MetricPoint,
    Readback,
    Result,
    State,
    TraceFile,
)
from orchestrator.settings import Settings, load
from orchestrator.spec.inputs import InputData
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import GitState
from orchestrator.verdict.compare_runs import compare
from support.box import stored
from support.records import BOX, ONE, full_result, image_facts, new_run, stored_output

EVENTS = 27  # of the world below
SIGNED = (15, 24)  # sizes of its tree heads
LEDGER_AND_ROWS = (AuditPart.LEDGER, AuditPart.ROWS)
HERE = (
    *LEDGER_AND_ROWS,
    AuditPart.RUNS,
    AuditPart.BLOBS,
    AuditPart.VERDICTS,
    AuditPart.IMAGES,
)  # no engine, no registry


def image(name: str) -> ImageFacts:
    facts = image_facts(name)
    layer = facts.layers[0].model_copy(update={"title": "source"})
    return facts.model_copy(update={"layers": (layer, layer)})


def result(store: Store, text: str = "", **changes: Any) -> Result:
    """With a row in every table, two where order counts, and the bytes in the store."""

    def bytes_of(name: str) -> bytes:
        return f"{name}{text} ".encode() * 50

    def kept(name: str) -> tuple[Digest, int]:
        return store.put_bytes(bytes_of(name)), len(bytes_of(name))

    trace, trace_size = kept('{"no": "trace"}\n')
    log, log_size = kept("log")
    names = {"w.pt": "weights", "x.pt": "more"}
    outputs = tuple(stored_output(store, path, bytes_of(name)) for path, name in names.items())
    fields: dict[str, Any] = {
        "outputs": outputs,
        "metrics": {"accuracy": 0.9, "loss": 0.25},
        "logged": {"lr": LoggedParam(value=0.2, source="hparams.yaml")},
        "series": tuple(MetricPoint(name="loss", step=step, value=1 / step) for step in range(1, 4)),
        "packages": {"torch": "2.13.0", "numpy": "2.3"},
        "source": {"train.py": ONE.hex, "net.py": Digest.of(bytes_of("weights")).hex},
        "readbacks": (
            Readback(pid=7, argv=("python",), start={"a": 1}, end={"a": 2}),
            Readback(pid=8, argv=("python",), start={"a": 1}, end={"a": 3}),
        ),
        "traces": tuple(
            TraceFile(
                rank=rank,
                world=2,
                pid=7 + rank,
                digest=trace,
                size=trace_size,
                steps=2,
                events=3,
                complete=False,
                broken="cut off",
            )
            for rank in (0, 1)
        ),
        "log": Log(digest=log, size=log_size, truncated=False),
        "notes": ("a gap", "another one"),
    }
    return full_result(**(fields | changes))


def a_life(session: Session) -> tuple[str, str]:
    """Everything that can happen to a run, signed twice; (the original, its rerun)."""
    record, store = session.record, session.store
    record.boxes.introduce(BOX)
    git = GitState(
        remote="origin",
        commit="c0ffee",
        branch="main",
        author="Ada",
        committed_at=datetime(2026, 1, 1, tzinfo=UTC),
        subject="Train",
        dirty=True,
        patch_digest=store.put_bytes(b"--- a\n+++ b\n"),
    )
    files = [{"path": path, "digest": ONE, "size": 3} for path in ("a.csv", "b.csv")]
    inputs = InputData.model_validate({"digest": ONE, "folder": True, "count": 2, "size": 6, "files": files})
    params = {"lr": 0.1, "name": "x"}
    program = Program(
        name="digits", command=("python", "train.py"), params=params, seed=0, inputs={"data": ONE}
    )
    origins = {"data": InputOrigin(asked="data:set", data="set", version=1)}
    facts = {"image": image("image"), "program": program, "git": git, "inputs": (inputs,)}
    facts |= {"input_origins": origins}
    wanted = Wanted(executor="slurm", box="b0", not_box="b1")
    new = new_run(wanted=wanted, description="a try", input_paths={"data": "/data"}, **facts)
    original, _ = record.submit(new)
    record.launch(original, 1, "slurm", "ada")
    record.save_ref(original, 1, "job 17")
    record.claim(original, "b0", "boot", "pid 1", 1)
    record.append_log(original, 1, 0, b"passing")
    record.requeue(original, 1, "its node died")
    record.claim(original, "b0", "boot", "pid 2")
    record.save_plan(original, 2, '{"plan": 1}')
    record.take_over(original, 2, "pid 3")
    record.move(original, 2, State.RUNNING)
    record.move(original, 2, State.COLLECTING)
    record.finish(original, 2, result(store))
    sign_ledger(session)
    rerun, _ = record.submit(new_run(rerun_of=original, **facts))
    record.claim(rerun, "b0", "boot", "pid 4")
    record.request_cancel(rerun)
    record.finish(rerun, 1, result(store, "'", failure=None))
    verdict = compare(record.run_with_points(original), record.run_with_points(rerun), session.store.open)
    record.add_verdict(verdict, "b0", "ada")
    record.annotations.note(original, "look here", "ada")
    record.annotations.tag(original, ["odd"], "ada")
    record.annotations.name("prod", original, "ada")
    record.annotations.archive([rerun], "ada")
    sign_ledger(session)
    # One that is open, whose log still passes by: the only table that is empty otherwise.
    waiting, _ = record.submit(new_run(image=image("image")))
    record.claim(waiting, "b0", "boot", "pid 5")
    record.append_log(waiting, 1, 0, b"passing")
    record.data_sets.add("set", inputs, "ada")
    record.put_live(waiting, 1, "{}")
    return original, rerun


class World(NamedTuple):
    settings: Settings
    original: str
    rerun: str

    def opened(self) -> Session:
        return Session(self.settings)

    def findings(self, *parts: AuditPart, **asked: Any) -> list[Finding]:
        with self.opened() as session:
            return look(session, *parts, **asked)

    @contextmanager
    def sql(self) -> Iterator[sqlite3.Connection]:
        """As whoever owns the file: nothing is checked."""
        path = self.settings.database_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            yield connection

    def blob(self, digest: str) -> Path:
        return stored(self.settings.store, digest)

    def copy(self, home: Path) -> World:
        shutil.copytree(self.settings.home, home)
        return World(load({"REPRISE_HOME": str(home)}), self.original, self.rerun)


def make_world(settings: Settings) -> World:
    with Session(settings) as session:
        original, rerun = a_life(session)
    return World(settings, original, rerun)


def all_findings(session: Session, *parts: AuditPart, **asked: Any) -> list[Finding]:
    return list(audit(session, Audit(parts=parts or HERE, **asked), lambda _: lambda _done, _total: None))


def look(session: Session, *parts: AuditPart, **asked: Any) -> list[Finding]:
    """What an audit finds that is wrong."""
    return [one for one in all_findings(session, *parts, **asked) if one.wrong]


def said(findings: Sequence[Finding]) -> set[tuple[str, str]]:
    return {(one.kind.value, one.subject) for one in findings}


def names_event(findings: Sequence[Finding], index: int, among: int = 40) -> bool:
    """Whether a finding is about this event, or about few events with it among them."""
    for one in findings:
        words = one.subject.split(" ")
        if words[0] == "event" and int(words[1]) == index:
            return True
        if words[0] == "events" and int(words[1]) <= index <= int(words[3]):
            return int(words[3]) - int(words[1]) < among
    return False


# Columns


def columns() -> list[tuple[str, str]]:
    every = tables.METADATA.sorted_tables
    return [(table.name, column.name) for table in every for column in table.columns]


def another(table: str, column: str, value: Any) -> Any:
    """Another value that the column takes."""
    kind = tables.METADATA.tables[table].c[column].type
    if isinstance(kind, OneOf):
        return next(word for word in kind.enums if word != value)
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1])
    if str(kind).startswith("BOOL"):
        return not value
    if isinstance(value, int | float):
        return value + 1000
    if isinstance(value, datetime):
        return value.replace(year=2027)
    if value is None:
        return 77 if str(kind).startswith(("INT", "BIGINT", "FLOAT")) else "2026-01-01 00:00:00.000000"
    return f"2027{value[4:]}" if str(kind).startswith("DATETIME") else f"{value}x"


# The ledger, rewritten by somebody who knows how it is made


def documents(world: World) -> list[bytes]:
    with world.sql() as connection:
        return [row[0] for row in connection.execute("SELECT document FROM event ORDER BY idx")]


def rewrite(world: World, change: Callable[[int, dict[str, Any]], bool], keep: int = EVENTS) -> None:
    """Every event anew, its tree and its row with it; `change` says whether an event stays."""
    frontier = Frontier()
    with world.sql() as connection:
        rows = connection.execute("SELECT * FROM event ORDER BY idx").fetchall()
        connection.execute("DELETE FROM event")
        for idx, at, by, kind, run, document in rows[:keep]:
            told = json.loads(document)
            if not change(idx, told):
                continue
            told["index"] = frontier.size
            document = canonical_json(told)
            connection.execute(
                "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)", (frontier.size, at, by, kind, run, document)
            )
            frontier.append(leaf_hash(document))
        connection.execute("UPDATE ledger SET size = ?, frontier = ?", (frontier.size, frontier.to_bytes()))


def append(world: World, kind: str, run: str | None, data: dict[str, Any]) -> None:
    """One event more, by the ledger's own rules: with the next index, in the tree, and the size with it."""
    with world.sql() as connection:
        size, data_of_tree = connection.execute("SELECT size, frontier FROM ledger").fetchone()
        frontier = Frontier.from_bytes(size, data_of_tree)
        moment = "2026-11-30T12:00:00.000000Z"
        told = {
            "v": 1,
            "index": size,
            "at": moment,
            "by": "ada@alpha",
            "kind": kind,
            "run": run,
            "data": data,
        }
        document = canonical_json(told)
        row = (size, "2026-11-30 12:00:00.000000", "ada@alpha", kind, run, document)
        connection.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)", row)
        frontier.append(leaf_hash(document))
        connection.execute("UPDATE ledger SET size = ?, frontier = ?", (frontier.size, frontier.to_bytes()))


def everything_kept(_index: int, _told: dict[str, Any]) -> bool:
    return True


def another_seed(index: int, told: dict[str, Any]) -> bool:
    """The first run, with the seed that somebody would rather have used."""
    if index == 4:
        told["data"]["run"]["seed"] = 1
    return True


def change_the_seed(world: World) -> None:
    rewrite(world, another_seed)
    with world.sql() as connection:
        connection.execute("UPDATE run SET seed = 1 WHERE id = 1")


def forget(world: World) -> None:
    """Without this box's own copy of what it signed."""
    with world.opened() as session:
        local_path(world.settings, session.record.ledger.head().origin).unlink()
    ledgers_path(world.settings).unlink()


def witness(world: World) -> Path:
    path = world.settings.home.parent / "elsewhere"
    with world.opened() as session:
        copy_to_file(session, path)
    return path


def sign_all(world: World, home: Path) -> None:
    """Signed tree heads of the ledger as it is now, by another key."""
    key = signing_key(load({"REPRISE_HOME": str(home)}))
    with world.opened() as session:
        origin = session.record.ledger.head().origin
    frontier, notes = Frontier(), {}
    for document in documents(world):
        frontier.append(leaf_hash(document))
        notes[frontier.size] = sign_head(origin, frontier.size, frontier.root, key)
    with world.sql() as connection:
        for (size,) in connection.execute("SELECT size FROM checkpoint").fetchall():
            connection.execute("UPDATE checkpoint SET text = ? WHERE size = ?", (notes[size], size))
