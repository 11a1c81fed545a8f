"""Record: all access to what is recorded. Each method is one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol, Self

from sqlalchemy import Connection

from orchestrator.record.data_sets import data_versions
from orchestrator.record.database import database_clock
from orchestrator.record.database.connect import open_database
from orchestrator.record.database.database import Database
from orchestrator.record.database.reading_limit import limit_reads
from orchestrator.record.history import best_runs, changes, queries, recorded_names, unmet_filter
from orchestrator.record.ledger import append_events, read_ledger
from orchestrator.record.ledger.audit_pages import Everything
from orchestrator.record.lineage import file_origin, origin_claims, run_lineage
from orchestrator.record.run_record import BoxFacts, HistoryFilter, RunLine
from orchestrator.record.runs import annotations as said
from orchestrator.record.runs import (
    attempts,
    boxes,
    commit_recovery,
    finish_run,
    metric_series,
    read_run,
    run_states,
    sealed_text,
)
from orchestrator.record.schema.columns import document
from orchestrator.record.schema.migrate import bring_to_head, refuse_other
from orchestrator.record.transaction import Door, reading, writing
from orchestrator.record.transfer import import_runs, whole_record
from orchestrator.settings import Settings

LONGEST_LOOK = 600.0  # seconds that one question of a person's own program may take


class Judged(Protocol):
    """What the record needs of a verdict; the verdict room stands above this one."""

    @property
    def outcome(self) -> Any: ...  # one of tables.OUTCOMES
    @property
    def original(self) -> str: ...
    @property
    def rerun(self) -> str: ...
    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


def open_record(settings: Settings) -> Record:
    """The record of this box, created or migrated where needed. RecordError where that fails."""
    database = open_database(settings.database_url)
    bring_to_head(database)
    return Record(database)


def open_reading_record(settings: Settings, seconds: float) -> Record:
    """As `open_record`; what comes after only reads, and each question takes so long at most."""
    database = open_database(settings.database_url)
    bring_to_head(database)
    database.close()  # what is connected from here on is read-only
    limit_reads(database, seconds)
    return Record(database)


def open_record_as_it_is(settings: Settings) -> Record:
    """A record that only reads, and is neither made nor migrated. RecordError where it is not there, or of
    another release.
    """
    database = open_database(settings.database_url)
    limit_reads(database, LONGEST_LOOK)
    refuse_other(database)
    return Record(database)


class Annotations(Door):
    """What people say of runs."""

    note = writing(said.note)
    tag = writing(said.tag)
    name = writing(said.name)
    unname = writing(said.unname)
    archive = writing(said.archive)
    marks = reading(said.marks)
    remarks = reading(said.remarks)
    names = reading(said.names)


class DataSets(Door):
    """Names that people give to data."""

    add = writing(data_versions.add)
    find = reading(data_versions.find)
    versions = reading(data_versions.versions)
    names_of = reading(data_versions.names_of)
    uses = reading(data_versions.uses)
    mentions = reading(data_versions.mentions)
    known_input = reading(data_versions.known_input)


class Boxes(Door):
    """Machines that take queued runs."""

    see = writing(boxes.see)
    all = reading(boxes.boxes)

    def introduce(self, facts: BoxFacts) -> None:
        """Write down what a worker says of its box when it starts."""
        moments: list[datetime] = []  # by the database's clock, of each try

        def introduce(connection: Connection) -> datetime:
            moments.append(boxes.introduce(connection, facts))
            return moments[-1]

        self._database.write(
            introduce, lambda connection: commit_recovery.introduced(connection, facts.id, moments)
        )


class History(Door):
    """Questions about many runs."""

    page = reading(queries.history)
    line = reading(queries.line_of)
    named_lines = reading(queries.named_lines)
    field = reading(queries.sorted_by)
    fields = reading(recorded_names.filter_fields)
    why_nothing = reading(unmet_filter.why_nothing)
    files_of_folders = reading(changes.files_of_folders)
    changes = reading(changes.changes)
    best = reading(best_runs.best)
    latest_of_job = reading(queries.latest_of_job)
    runs_of_image = reading(queries.runs_of_image)
    verdicts = reading(queries.verdicts)
    outcomes_of_reruns = reading(queries.outcomes_of_reruns)
    origin = reading(file_origin.origin)
    mentions = reading(file_origin.mentions)
    lineage = reading(run_lineage.lineage)
    untrue_origins = reading(origin_claims.untrue_origins)
    proved_origins = reading(origin_claims.proved_origins)

    def lines(self, wanted: HistoryFilter) -> list[RunLine]:
        return list(self.page(wanted).lines)


class Ledger(Door):
    """The append-only list of what was written, and the signed tree heads over it."""

    head = reading(read_ledger.head)
    events = reading(read_ledger.find_events)
    head_due = reading(read_ledger.head_due)
    signed_heads = reading(read_ledger.signed_heads)
    latest_signed_head = reading(read_ledger.latest_signed_head)
    save_signed_head = writing(read_ledger.save_signed_head)

    def add_event(self, kind: str, run: str | None, data: Mapping[str, Any]) -> int:
        """Append an event of what no table holds: its index."""
        marked = {**data, "once": secrets.token_hex(8)}
        return self._database.write(
            lambda connection: append_events.append(connection, kind, run, marked),
            lambda connection: commit_recovery.event_added(connection, kind, marked["once"]),
        )


class Transfer(Door):
    """Runs that go from one record to another."""

    carry = reading(import_runs.carry)
    try_in = writing(import_runs.try_in)
    bring_in = writing(import_runs.bring_in)
    finished = reading(whole_record.finished)
    every_remark = reading(said.every_remark)
    bring_all = writing(whole_record.bring_all)


class Record(Door):
    """Runs, from queued to judged. Safe to use from several threads and processes.

    `run` is a full id (16 hex digits) everywhere but in `find`; an unknown one is a UsageError. Writes
    that name an attempt are refused with FencedError once another attempt owns the run or it is final.
    Whatever the database refuses is a RecordError, and then nothing of that write is there.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.annotations = Annotations(database)
        self.data_sets = DataSets(database)
        self.boxes = Boxes(database)
        self.history = History(database)
        self.ledger = Ledger(database)
        self.transfer = Transfer(database)
        self.everything = Everything(database)  # for what reads all of it: audits, exports, gc

    # A run's way, step by step.
    submit = writing(run_states.submit)
    launch = writing(attempts.launch)
    save_ref = writing(attempts.save_ref)
    claim = writing(run_states.claim, commit_recovery.claimed)
    take = writing(attempts.take, commit_recovery.taken)
    take_over = writing(run_states.take_over)
    save_plan = writing(run_states.save_plan)
    move = writing(run_states.move, commit_recovery.moved)
    append_log = writing(attempts.append_log, commit_recovery.appended)
    put_live = writing(attempts.put_live)
    request_cancel = writing(run_states.request_cancel)
    requeue = writing(attempts.requeue, commit_recovery.requeued)
    finish = writing(finish_run.finish, commit_recovery.finished)

    # One run.
    find = reading(queries.find)
    run = reading(read_run.recorded_run)
    run_with_points = reading(read_run.run_with_points)
    with_points = reading(read_run.with_points)
    points_named = reading(read_run.points_named)
    output_of = reading(read_run.output_of)
    logged_run = reading(read_run.logged_run)
    run_to_execute = reading(read_run.run_to_execute)
    series = reading(metric_series.metric_series)
    image = reading(read_run.whole_image)
    sealed = reading(sealed_text.sealed)
    state = reading(read_run.state_of)
    cancel_requested = reading(read_run.cancel_requested)
    stop_asked = reading(read_run.stop_asked)
    launched = reading(attempts.launched)
    live_log = reading(attempts.live_log)
    live_state = reading(attempts.live_state)

    # Work to do.
    open_run = reading(read_run.open_run)
    open_runs = reading(read_run.open_runs)
    open_elsewhere = reading(read_run.open_elsewhere)
    unjudged_reruns = reading(read_run.unjudged_reruns)
    first_waiting = reading(attempts.first_waiting)
    now = reading(database_clock.now)

    def add_verdict(self, verdict: Judged, box: str | None, by: str) -> None:
        text = document(verdict.model_dump(mode="json"))
        names = verdict.rerun, verdict.original
        self._database.write(
            lambda connection: run_states.add_verdict(
                connection, *names, str(verdict.outcome), text, box, by
            ),
            lambda connection: commit_recovery.judged(connection, *names, text),
        )

    def reading(self) -> AbstractContextManager[Connection]:
        """One snapshot for several questions: the functions of row_evidence.py and read_ledger.py take it."""
        return self._database.reading()

    @property
    def address(self) -> str:
        """The database as messages call it: a path, or a URL without its password."""
        return self._database.name

    @property
    def wrote(self) -> bool:
        """Whether a write was begun since this was opened."""
        return self._database.wrote

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
