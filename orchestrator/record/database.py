"""Record: the one door to what is recorded. Each method is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

from orchestrator.digest import Digest
from orchestrator.record import attempts, boxes, queries, results, runs, settled, whole
from orchestrator.record.columns import document
from orchestrator.record.connect import Database, open_database
from orchestrator.record.migrate import bring_to_head
from orchestrator.record.model import (
    BoxFacts,
    BoxLine,
    HistoryFilter,
    ImageFacts,
    Launched,
    Made,
    NewRun,
    OpenRun,
    Queued,
    RunLine,
    RunRecord,
    VerdictLine,
)
from orchestrator.record.whence import whence
from orchestrator.run.model import Result, State
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

    def submit(self, new: NewRun) -> tuple[str, bool]:
        """(id, True) for a new run; (id of the run with the same key, False) otherwise."""
        return self._database.write(lambda connection: runs.submit(connection, new))

    def claim(self, run: str, box: str, boot: str, executor: str, only: int | None = None) -> int:
        """Make a queued run this executor's own: the attempt's number, from 1; `only`: none but this one."""
        return self._database.write(
            lambda connection: runs.claim(connection, run, box, boot, executor, only),
            lambda connection: settled.claimed(connection, run, box, boot, executor),
        )

    def take_over(self, run: str, attempt: int, executor: str) -> None:
        self._database.write(lambda connection: runs.take_over(connection, run, attempt, executor))

    def save_plan(self, run: str, attempt: int, plan: str) -> None:
        self._database.write(lambda connection: runs.save_plan(connection, run, attempt, plan))

    def move(self, run: str, attempt: int, state: State) -> None:
        """preparing -> running -> collecting."""
        self._database.write(
            lambda connection: runs.move(connection, run, attempt, state),
            lambda connection: settled.moved(connection, run, attempt, state),
        )

    def finish(self, run: str, attempt: int, result: Result, *, queued: bool = False) -> None:
        """Commit the result, once, whole or not at all. `queued`: of a run that no attempt is at."""
        self._database.write(
            lambda connection: results.finish(connection, run, attempt, result, queued=queued),
            lambda connection: settled.finished(connection, run, attempt),
        )

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
            lambda connection: settled.requeued(connection, run, attempt, reason),
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
            lambda connection: settled.taken(connection, kind, box, executor),
        )

    def append_log(self, run: str, attempt: int, start: int, data: bytes) -> None:
        """A piece of an open attempt's log, for readers on other boxes."""
        self._database.write(
            lambda connection: attempts.append_log(connection, run, attempt, start, data),
            lambda connection: settled.appended(connection, run, attempt, start),
        )

    def live_log(self, run: str, attempt: int, start: int) -> list[tuple[int, bytes]]:
        """(start, data) of the pieces from byte `start` on."""
        return self._database.read(lambda connection: attempts.live_log(connection, run, attempt, start))

    def introduce(self, facts: BoxFacts) -> None:
        """What a worker says of its box when it starts."""
        self._database.write(lambda connection: boxes.introduce(connection, facts))

    def see(self, box: str, state: str) -> None:
        """A worker's heartbeat."""
        self._database.write(lambda connection: boxes.see(connection, box, state))

    def boxes(self) -> list[BoxLine]:
        """Boxes that have, or had, a worker; by name."""
        return self._database.read(boxes.boxes)

    def stop_asked(self, run: str, attempt: int) -> bool:
        """Whether an attempt should end its job: cancelled, or the run is not its own any more."""
        return self._database.read(lambda connection: whole.stop_asked(connection, run, attempt))

    def request_cancel(self, run: str) -> State:
        """Ask for the end of a run; the state in which it is, final ones included."""
        return self._database.write(lambda connection: runs.request_cancel(connection, run))

    def add_verdict(self, verdict: Judged, box: str | None, by: str) -> None:
        text = document(verdict.model_dump(mode="json"))
        names = verdict.rerun, verdict.original
        self._database.write(
            lambda connection: runs.add_verdict(connection, *names, str(verdict.outcome), text, box, by),
            lambda connection: settled.judged(connection, *names, text),
        )

    def cancel_requested(self, run: str) -> bool:
        return self._database.read(lambda connection: whole.cancel_requested(connection, run))

    def state(self, run: str) -> State | None:
        """None for an unknown run."""
        return self._database.read(lambda connection: whole.state_of(connection, run))

    def open_run(self, run: str) -> OpenRun:
        return self._database.read(lambda connection: whole.open_run(connection, run))

    def open_runs(self, box: str) -> list[OpenRun]:
        """Oldest first: open runs executed by this box, and queued ones that no other may execute."""
        return self._database.read(lambda connection: whole.open_runs(connection, box))

    def open_elsewhere(self, ours: tuple[str, ...]) -> list[OpenRun]:
        """Oldest first: open runs that were submitted for other kinds of executors than `ours`."""
        return self._database.read(lambda connection: whole.open_elsewhere(connection, ours))

    def run(self, run: str) -> RunRecord:
        return self._database.read(lambda connection: whole.whole_run(connection, run))

    def image(self, digest: str) -> tuple[ImageFacts, Program]:
        """By the full digest of manifest or config."""
        return self._database.read(lambda connection: whole.whole_image(connection, digest))

    def find(self, prefix: str) -> str:
        """The full id of a run from its beginning (four characters or more)."""
        return self._database.read(lambda connection: queries.find(connection, prefix))

    def history(self, wanted: HistoryFilter) -> list[RunLine]:
        return self._database.read(lambda connection: queries.history(connection, wanted))

    def best(self, job: str, metric: str, *, minimize: bool = False) -> RunLine:
        return self._database.read(
            lambda connection: queries.best(connection, job, metric, minimize=minimize)
        )

    def runs_of_image(self, digest: str) -> list[str]:
        """Oldest first; `sha256:` and the beginning of a manifest's or config's digest."""
        return self._database.read(lambda connection: queries.runs_of_image(connection, digest))

    def whence(self, digests: Sequence[Digest]) -> list[Made]:
        """Outputs of any run with this content; oldest run first."""
        return self._database.read(lambda connection: whence(connection, digests))

    def verdicts(self, run: str) -> list[VerdictLine]:
        """Verdicts in which this run is the rerun or the original; oldest first."""
        return self._database.read(lambda connection: queries.verdicts(connection, run))
