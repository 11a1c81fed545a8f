"""Record: the one door to what is recorded. Each method is one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol, Self

from sqlalchemy import Connection

from orchestrator.digest import Digest
from orchestrator.record.database import database_clock
from orchestrator.record.database.connect import Database, open_database
from orchestrator.record.history import queries
from orchestrator.record.history.best_runs import best
from orchestrator.record.history.changes import changes
from orchestrator.record.history.file_origin import mentions, whence
from orchestrator.record.history.filter_fields import Field
from orchestrator.record.history.run_lineage import lineage
from orchestrator.record.history.unmet_filter import why_nothing
from orchestrator.record.ledger import append_events, read_ledger
from orchestrator.record.ledger.audit_pages import Everything
from orchestrator.record.ledger.read_ledger import EventFilter, EventLine, LedgerHead, Signed
from orchestrator.record.run_record import (
    Best,
    BoxFacts,
    BoxLine,
    Changed,
    HistoryFilter,
    HistoryPage,
    ImageFacts,
    Launched,
    Lineage,
    Made,
    Marks,
    Mention,
    Named,
    NewRun,
    OpenRun,
    Queued,
    Remark,
    RunLine,
    RunRecord,
    VerdictLine,
)
from orchestrator.record.runs import annotations as said
from orchestrator.record.runs import (
    attempts,
    boxes,
    commit_recovery,
    finish_run,
    import_runs,
    read_run,
    run_states,
)
from orchestrator.record.runs.import_runs import Brought, Carried
from orchestrator.record.runs.sealed_text import Seal, asked_as_text, sealed
from orchestrator.record.schema.columns import document
from orchestrator.record.schema.migrate import bring_to_head
from orchestrator.run.attempt_model import Result, State
from orchestrator.settings import Settings
from orchestrator.spec.program import Program


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


class Record:
    """Runs, from queued to judged. Safe to use from several threads and processes.

    `run` is a full id (16 hex digits) everywhere but in `find`; an unknown one is a UsageError. Writes
    that name an attempt are refused with FencedError once another attempt owns the run or it is final.
    Whatever the database refuses is a RecordError, and then nothing of that write is there.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def everything(self) -> Everything:
        """For whoever goes through all of it."""
        return Everything(self._database)

    def submit(self, new: NewRun) -> tuple[str, bool]:
        """(id, True) for a new run; (id of the run with the same key, False) otherwise."""
        return self._database.write(lambda connection: run_states.submit(connection, new))

    def claim(self, run: str, box: str, boot: str, executor: str, only: int | None = None) -> int:
        """Make a queued run this executor's own: the attempt's number, from 1; `only`: none but this one."""
        return self._database.write(
            lambda connection: run_states.claim(connection, run, box, boot, executor, only),
            lambda connection: commit_recovery.claimed(connection, run, box, boot, executor),
        )

    def take_over(self, run: str, attempt: int, executor: str) -> None:
        self._database.write(lambda connection: run_states.take_over(connection, run, attempt, executor))

    def save_plan(self, run: str, attempt: int, plan: str) -> None:
        self._database.write(lambda connection: run_states.save_plan(connection, run, attempt, plan))

    def move(self, run: str, attempt: int, state: State) -> None:
        """preparing -> running -> collecting."""
        self._database.write(
            lambda connection: run_states.move(connection, run, attempt, state),
            lambda connection: commit_recovery.moved(connection, run, attempt, state),
        )

    def finish(
        self, run: str, attempt: int, result: Result, *, queued: bool = False, seal: Seal | None = None
    ) -> None:
        """Commit the result, once, whole or not at all. `queued`: of a run that no attempt is at. `seal`: of
        the box that executed it.
        """
        self._database.write(
            lambda connection: finish_run.finish(connection, run, attempt, result, queued=queued, seal=seal),
            lambda connection: commit_recovery.finished(connection, run, attempt),
        )

    def sealed(self, run: str) -> tuple[bytes, str] | None:
        """What a run's rows say now, and its seal; None where no box has sealed it."""
        return self._database.read(lambda connection: sealed(connection, run))

    def launch(self, run: str, attempt: int, executor: str, by: str) -> tuple[Launched, bool]:
        """Announce the next attempt of a queued run: (row, True) for whoever is to launch it."""
        return self._database.write(
            lambda connection: attempts.launch(connection, run, attempt, executor, by)
        )

    def save_ref(self, run: str, attempt: int, ref: str) -> None:
        """What the executor calls the attempt that was launched."""
        self._database.write(lambda connection: attempts.save_ref(connection, run, attempt, ref))

    def launched(self, run: str) -> list[Launched]:
        """Attempts that were launched by a cluster engine, or given up by anyone; oldest first."""
        return self._database.read(lambda connection: attempts.launched(connection, run))

    def requeue(self, run: str, attempt: int, reason: str) -> State:
        """Give an attempt up: queued for the next; lost after the last; cancelled where that was asked."""
        return self._database.write(
            lambda connection: attempts.requeue(connection, run, attempt, reason),
            lambda connection: commit_recovery.requeued(connection, run, attempt, reason),
        )

    def first_waiting(self, executor: str, fits: Callable[[Queued], bool]) -> Queued | None:
        """The oldest run that waits for an executor of this kind and fits."""
        return self._database.read(lambda connection: attempts.first_waiting(connection, executor, fits))

    def take(
        self, kind: str, fits: Callable[[Queued], bool], box: str, boot: str, executor: str
    ) -> tuple[Queued, int] | None:
        """Claim the oldest run that waits for this kind and fits. `executor`: another text at each call."""
        return self._database.write(
            lambda connection: attempts.take(connection, kind, fits, box, boot, executor),
            lambda connection: commit_recovery.taken(connection, kind, box, executor),
        )

    def append_log(self, run: str, attempt: int, start: int, data: bytes) -> None:
        """A piece of an open attempt's log, for readers on other boxes."""
        self._database.write(
            lambda connection: attempts.append_log(connection, run, attempt, start, data),
            lambda connection: commit_recovery.appended(connection, run, attempt, start),
        )

    def live_log(self, run: str, attempt: int, start: int) -> list[tuple[int, bytes]]:
        """(start, data) of the pieces from byte `start` on."""
        return self._database.read(lambda connection: attempts.live_log(connection, run, attempt, start))

    def introduce(self, facts: BoxFacts) -> None:
        """What a worker says of its box when it starts."""
        moments: list[datetime] = []  # by the database's clock, of each try

        def introduce(connection: Connection) -> datetime:
            moments.append(boxes.introduce(connection, facts))
            return moments[-1]

        self._database.write(
            introduce, lambda connection: commit_recovery.introduced(connection, facts.id, moments)
        )

    def see(self, box: str, state: str, trouble: str = "") -> None:
        """A worker's heartbeat, and why the box takes nothing where it does not."""
        self._database.write(lambda connection: boxes.see(connection, box, state, trouble))

    def now(self) -> datetime:
        """By the database's clock: what the age of anything recorded is measured with."""
        return self._database.read(database_clock.now)

    def boxes(self) -> list[BoxLine]:
        """Boxes that have, or had, a worker; by name."""
        return self._database.read(boxes.boxes)

    def stop_asked(self, run: str, attempt: int) -> bool:
        """Whether an attempt should end its job: cancelled, or the run is not its own any more."""
        return self._database.read(lambda connection: read_run.stop_asked(connection, run, attempt))

    def request_cancel(self, run: str) -> State:
        """Ask for the end of a run; the state in which it is, final ones included."""
        return self._database.write(lambda connection: run_states.request_cancel(connection, run))

    def add_verdict(self, verdict: Judged, box: str | None, by: str) -> None:
        text = document(verdict.model_dump(mode="json"))
        names = verdict.rerun, verdict.original
        self._database.write(
            lambda connection: run_states.add_verdict(
                connection, *names, str(verdict.outcome), text, box, by
            ),
            lambda connection: commit_recovery.judged(connection, *names, text),
        )

    def cancel_requested(self, run: str) -> bool:
        return self._database.read(lambda connection: read_run.cancel_requested(connection, run))

    def state(self, run: str) -> State | None:
        """None for an unknown run."""
        return self._database.read(lambda connection: read_run.state_of(connection, run))

    def open_run(self, run: str) -> OpenRun:
        return self._database.read(lambda connection: read_run.open_run(connection, run))

    def open_runs(self, box: str) -> list[OpenRun]:
        """Oldest first: open runs executed by this box, and queued ones that no other may execute."""
        return self._database.read(lambda connection: read_run.open_runs(connection, box))

    def open_elsewhere(self, ours: tuple[str, ...]) -> list[OpenRun]:
        """Oldest first: open runs that were submitted for other kinds of executors than `ours`."""
        return self._database.read(lambda connection: read_run.open_elsewhere(connection, ours))

    def run(self, run: str) -> RunRecord:
        return self._database.read(lambda connection: read_run.whole_run(connection, run))

    def run_as_asked(self, run: str) -> tuple[RunRecord, bytes]:
        """With what `sealed.asks` compares at its end."""
        return self._database.read(lambda one: (read_run.whole_run(one, run), asked_as_text(one, run)))

    def image(self, digest: str) -> tuple[ImageFacts, Program]:
        """By the full digest of manifest or config."""
        return self._database.read(lambda connection: read_run.whole_image(connection, digest))

    def note(self, run: str, text: str, by: str) -> bool:
        """Whether it was added; not, where this person's last note on the run has the same text."""
        return self._database.write(lambda connection: said.note(connection, run, text, by))

    def tag(self, run: str, words: Sequence[str], by: str, *, remove: bool = False) -> list[str]:
        """The tags for which that is a change."""
        return self._database.write(lambda connection: said.tag(connection, run, words, by, remove=remove))

    def name(self, word: str, run: str, by: str) -> str | None:
        """Give a name to a run: the id of the one that had it."""
        return self._database.write(lambda connection: said.name(connection, word, run, by))

    def unname(self, word: str, by: str) -> str:
        """The id of the run that had the name."""
        return self._database.write(lambda connection: said.unname(connection, word, by))

    def archive(self, runs: Sequence[str], by: str, *, restore: bool = False) -> list[str]:
        """Put runs away, or back: the ids of those for which that is a change."""
        return self._database.write(lambda connection: said.archive(connection, runs, by, restore=restore))

    def marks(self, run: str) -> Marks:
        """What people say of a run now."""
        return self._database.read(lambda connection: said.marks(connection, run))

    def remarks(self, run: str) -> list[Remark]:
        """All that people ever said of a run, oldest first."""
        return self._database.read(lambda connection: said.remarks(connection, run))

    def names(self) -> list[Named]:
        """Every name that was ever given to a run, with its past."""
        return self._database.read(said.names)

    def find(self, prefix: str) -> str:
        """The full id of a run from its beginning (four characters or more), or from its name."""
        return self._database.read(lambda connection: queries.find(connection, prefix))

    def history(self, wanted: HistoryFilter) -> list[RunLine]:
        return list(self.history_page(wanted).lines)

    def history_page(self, wanted: HistoryFilter) -> HistoryPage:
        """With what is needed for the page after it."""
        return self._database.read(lambda connection: queries.history(connection, wanted))

    def field(self, text: str) -> Field:
        """What an order by this text sorts by. UsageError for a name that no run has."""
        return self._database.read(lambda connection: queries.sorted_by(connection, text))

    def why_nothing(self, wanted: HistoryFilter) -> list[str]:
        """Of a filter that lets no run through: what in it no run has at all, in words."""
        return self._database.read(lambda connection: why_nothing(connection, wanted))

    def changes(self, runs: Sequence[str], aspect: str) -> dict[str, Changed]:
        """Of these runs, those that differ in packages, code, params, seed, base or hardware from the run
        of their job before them.
        """
        return self._database.read(lambda connection: changes(connection, runs, aspect))

    def best(self, job: str, metric: str, *, minimize: bool = False, last: bool = False) -> Best:
        """By its best point, or by its last value."""
        return self._database.read(
            lambda connection: best(connection, job, metric, minimize=minimize, last=last)
        )

    def runs_of_image(self, digest: str) -> list[str]:
        """Oldest first; `sha256:` and the beginning of a manifest's or config's digest."""
        return self._database.read(lambda connection: queries.runs_of_image(connection, digest))

    def whence(self, digests: Sequence[Digest]) -> list[Made]:
        """Outputs of any run with this content; oldest run first."""
        return self._database.read(lambda connection: whence(connection, digests))

    def mentions(self, digests: Sequence[Digest]) -> list[Mention]:
        """Runs that know this content otherwise: as an input, log, trace or patch; oldest run first."""
        return self._database.read(lambda connection: mentions(connection, digests))

    def lineage(self, run: str) -> Lineage:
        """Runs whose outputs this one took as inputs, runs that took its outputs, and so on."""
        return self._database.read(lambda connection: lineage(connection, run))

    def verdicts(self, run: str) -> list[VerdictLine]:
        """Verdicts in which this run is the rerun or the original; oldest first."""
        return self._database.read(lambda connection: queries.verdicts(connection, run))

    def ledger(self) -> LedgerHead:
        """How far the ledger has grown."""
        return self._database.read(read_ledger.head)

    def events(self, wanted: EventFilter) -> list[EventLine]:
        """Oldest first."""
        return self._database.read(lambda connection: read_ledger.find_events(connection, wanted))

    def tell(self, kind: str, run: str | None, data: Mapping[str, Any]) -> int:
        """An event of something that no table holds: its index."""
        marked = {**data, "once": secrets.token_hex(8)}
        return self._database.write(
            lambda connection: append_events.append(connection, kind, run, marked),
            lambda connection: commit_recovery.told(connection, kind, marked["once"]),
        )

    def checkpoint_due(self) -> bool:
        """Whether a run has ended, or a verdict was given, that no checkpoint covers."""
        return self._database.read(read_ledger.checkpoint_due)

    def checkpoints(self, after: int = 0) -> list[Signed]:
        """Those over more than `after` events, the oldest first."""
        return self._database.read(lambda connection: read_ledger.checkpoints(connection, after))

    def latest_checkpoint(self) -> Signed | None:
        return self._database.read(read_ledger.latest_checkpoint)

    def save_checkpoint(self, size: int, text: str) -> Signed:
        """Keep a note over the first `size` events; the one that is there already, where one is."""
        return self._database.write(lambda connection: read_ledger.save_checkpoint(connection, size, text))

    @property
    def address(self) -> str:
        """The database as messages call it: a path, or a URL without its password."""
        return self._database.name

    @property
    def wrote(self) -> bool:
        """Whether anything was written, or tried to be, since this was opened."""
        return self._database.wrote

    def reading(self) -> AbstractContextManager[Connection]:
        """One snapshot for several questions: the functions of row_evidence.py and read_ledger.py take it."""
        return self._database.reading()

    def carry(self, run: str) -> Carried:
        """A finished run with its image and verdicts, to be brought into another record."""
        return self._database.read(lambda connection: import_runs.carry(connection, run))

    def try_in(self, items: Callable[[], Iterable[Carried]], source: Digest) -> None:
        """UsageError where `bring_in` would raise one; nothing is written."""
        self._database.write(lambda connection: import_runs.try_in(connection, items, source))

    def bring_in(self, items: Callable[[], Iterable[Carried]], by: str, source: Digest) -> list[Brought]:
        """Write down carried runs, originals first, all or none. Again, it changes nothing."""
        return self._database.write(lambda connection: import_runs.bring_in(connection, items, by, source))
