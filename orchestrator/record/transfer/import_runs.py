"""Runs of another record: read whole to be carried, compared with what is here, written down once.

`carry` and `beside` read; `bring_in` takes a connection inside a writing transaction (database.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, Literal

from pydantic import ValidationError
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import DataError, IntegrityError

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.message_wording import listed, shortened
from orchestrator.record.data_sets.data_versions import known_input
from orchestrator.record.database.database_clock import now
from orchestrator.record.history.queries import verdicts
from orchestrator.record.ledger import append_events, row_evidence
from orchestrator.record.run_record import ImageFacts, NewRun, RunRecord, VerdictLine, is_run_id
from orchestrator.record.runs.finish_run import finish
from orchestrator.record.runs.read_run import run_with_points, state_of, whole_image
from orchestrator.record.runs.run_states import insert_rows, key_of, submit, write_verdict
from orchestrator.record.runs.unreadable_rows import WRONG, readable, unreadable
from orchestrator.record.schema import tables
from orchestrator.record.schema.columns import document
from orchestrator.record.schema.table_alias import alias
from orchestrator.record.transfer.import_limits import LINE, beyond, image_problem, input_problem
from orchestrator.spec.inputs import InputData
from orchestrator.structural_difference import differences
from orchestrator.untrusted_json import first_problem, read_untrusted
from orchestrator.value import YEARS, Instant, Value

SHOWN = 4  # differences that a message names
_WHOLE = "the bundle was altered, or made by another program: export the run again"
_AHEAD = timedelta(days=1)  # by which the clock of another record may be before ours
# What differs between records: the name that a worker gives its box, and the bundle that the run came in.
_NOT_CARRIED = {"box_name": None, "imported": None}


class PastAttempt(Value):
    """An attempt that was given up before the one which ended the run."""

    number: int
    box: str
    boot: str
    executor: str
    claimed_at: Instant


class Carried(Value):
    """A finished run as it travels: its rows, its image's, and the verdicts over it as a rerun."""

    format: Literal[1] = 1
    run: RunRecord
    image: ImageFacts
    verdicts: tuple[VerdictLine, ...] = ()
    inputs: tuple[InputData, ...] = ()  # what is known of the program's inputs; not their bytes
    attempts: tuple[PastAttempt, ...] = ()  # by number; only where a whole record travels

    def to_bytes(self) -> bytes:
        """The same run gives the same bytes. NaN and infinities are kept, as words that JSON has not."""
        left_out = None if self.attempts else {"attempts"}  # a bundle's form is as it always was
        return document(self.model_dump(mode="json", exclude=left_out)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Carried:
        """A run, checked by itself. ValueError says what is wrong."""
        try:
            item = read_untrusted(cls, data)
        except ValidationError as error:
            raise ValueError(first_problem(error)) from None
        run = item.run
        if not is_run_id(run.id) or (run.rerun_of is not None and not is_run_id(run.rerun_of)):
            raise ValueError("a run is not named by 16 hex digits")
        if not run.state.final or run.attempt < 0:
            raise ValueError(f"run {run.id} is {run.state.value}, attempt {run.attempt}: not a finished one")
        if (item.image.digest, item.image.config_digest, item.image.base) != (
            run.image,
            run.config_digest,
            run.base,
        ):
            raise ValueError(f"run {run.id} names another image than its own")
        if (what := image_problem(item.image)) is not None:
            raise ValueError(f"the image of run {run.id} {what}")
        for known in item.inputs:
            _check_input(known, run)
        _check_attempts(item.attempts, run)
        moments = [run.created_at, run.started_at, run.finished_at, run.git.committed_at if run.git else None]
        moments += [line.created_at for line in item.verdicts]
        if any(moment is not None and moment.tzinfo is None for moment in moments):
            raise ValueError(f"run {run.id} has a moment without a time zone")
        if any(moment is not None and not YEARS[0] <= moment <= YEARS[1] for moment in moments):
            raise ValueError(f"run {run.id} has a moment outside of the years 1970 to 2200")
        if (more := beyond(run)) is not None:
            raise ValueError(f"run {run.id}: {more}")
        for line in item.verdicts:
            _check_verdict(line, run.id)
        return item


class Brought(Value):
    """What became of one run."""

    run: str
    new: bool  # False: it was here with the same values
    verdicts: int  # that were not here


def _check_verdict(line: VerdictLine, run: str) -> None:
    named = (line.document.get("rerun"), line.document.get("original"), line.document.get("outcome"))
    if line.outcome not in tables.OUTCOMES or not is_run_id(line.original):
        raise ValueError(f"a verdict over run {run} has no outcome that is known, or no original")
    if any(len((text or "").encode("utf-8", "replace")) > LINE for text in (line.by, line.box)):
        raise ValueError(f"a verdict over run {run} has a text of more than {LINE} bytes")
    if line.run != run or named != (run, line.original, line.outcome):
        raise ValueError(f"a verdict over run {run} speaks of others")


def _check_attempts(attempts: tuple[PastAttempt, ...], run: RunRecord) -> None:
    numbers = [one.number for one in attempts]
    if numbers != sorted(set(numbers)) or (numbers and not (numbers[0] >= 1 and numbers[-1] < run.attempt)):
        raise ValueError(f"run {run.id} has attempts that are out of order")
    texts = (text for one in attempts for text in (one.box, one.boot, one.executor))
    if any(len(text.encode("utf-8", "replace")) > LINE for text in texts):
        raise ValueError(f"run {run.id} has an attempt with a text of more than {LINE} bytes")
    if any(one.claimed_at.tzinfo is None for one in attempts):
        raise ValueError(f"run {run.id} has an attempt at a moment without a time zone")


def _check_input(data: InputData, run: RunRecord) -> None:
    if data.digest not in run.program.inputs.values():
        raise ValueError(f"run {run.id} has no input of this digest: {data.digest}")
    if (what := input_problem(data)) is not None:
        raise ValueError(f"an input of run {run.id} {what}")


def carry(connection: Connection, run: str, *, attempts: bool = False) -> Carried:
    """A finished run; with the attempts before its last where asked for. UsageError for any other run."""
    found = run_with_points(connection, run)
    if not found.state.final:
        raise UsageError(
            f"run {run} is {found.state.value}: an open run cannot be carried away",
            "wait for its end (`reprise logs -f`), or cancel it",
        )
    return Carried(
        run=found.model_copy(update=_NOT_CARRIED),
        image=whole_image(connection, found.image)[0],
        verdicts=tuple(line for line in verdicts(connection, run) if line.run == run),
        inputs=tuple(_known_inputs(connection, found)),
        attempts=tuple(_past_attempts(connection, found)) if attempts else (),
    )


def _past_attempts(connection: Connection, run: RunRecord) -> Iterator[PastAttempt]:
    table = tables.attempt
    mine = (table.c.run_id == key_of(connection, run.id)) & (table.c.number < run.attempt)
    for row in connection.execute(select(table).where(mine).order_by(table.c.number)):
        try:
            yield PastAttempt(**{name: getattr(row, name) for name in PastAttempt.model_fields})
        except WRONG as error:
            raise unreadable(f"run {run.id}", error) from error


def _known_inputs(connection: Connection, run: RunRecord) -> Iterator[InputData]:
    for digest in sorted(set(run.program.inputs.values())):
        if (data := known_input(connection, digest)) is not None:
            yield data


def beside(connection: Connection, item: Carried) -> list[str] | None:
    """None where the run is unknown here; else what differs, `metrics.accuracy 0.9 here, 0.8 there`."""
    if state_of(connection, item.run.id) is None:
        return None
    here = run_with_points(connection, item.run.id).model_copy(update=_NOT_CARRIED)
    found = differences(here.model_dump(mode="json"), item.run.model_dump(mode="json"))
    return [f"{path} {_short(a)} here, {_short(b)} in the bundle" for path, a, b in found]


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} entries"
    return shortened(document(value), 80)


def _refused(run: str, differences: list[str]) -> UsageError:
    return UsageError(
        f"run {run} is here with other values: {listed(differences, SHOWN, '; ')}",
        "one of the two was altered: compare `reprise show --json` on both boxes",
    )


def bring_in(
    connection: Connection, items: Callable[[], Iterable[Carried]], by: str, source: Digest
) -> list[Brought]:
    """Write down what is not here yet; originals come before their reruns. `source`: the bundle's digest.

    UsageError, and nothing written, for a run that is here with other values, whose original is neither
    here nor came before it, or with values that the record would give back changed; and for a new verdict
    over a run of this record: a rerun is judged where it was executed.
    """
    brought = []
    lines: list[VerdictLine] = []
    for item in items():
        differences = beside(connection, item)
        if differences:
            raise _refused(item.run.id, differences)
        if differences is None:
            _write(connection, item, by, source)
        new = [line for line in item.verdicts if not _is_here(connection, line)]
        if new and _was_executed_here(connection, item.run.id):
            raise UsageError(
                f"run {item.run.id} was executed in this record, and a verdict over it comes in that was not "
                "given here",
                "`reprise audit --only verdicts` computes those that were; leave the run out of the file",
            )
        lines += new
        brought.append(Brought(run=item.run.id, new=differences is None, verdicts=len(new)))
    for line in lines:  # last: a verdict may be over a run that came after this one
        _write_verdict(connection, line)
    return brought


def try_in(connection: Connection, items: Callable[[], Iterable[Carried]], source: Digest) -> None:
    """Raise what `bring_in` would; nothing stays written.

    After an error the caller's transaction undoes it: a database whose disk is full has done so already, and
    has no savepoint any more.
    """
    attempt = connection.begin_nested()
    bring_in(connection, items, "", source)
    attempt.rollback()


def _write(connection: Connection, item: Carried, by: str, source: Digest) -> None:
    run, table = item.run, tables.run
    if run.rerun_of is not None and state_of(connection, run.rerun_of) is None:
        raise UsageError(
            f"run {run.id} is a rerun of {run.rerun_of}, which is neither here nor in the bundle", _WHOLE
        )
    if run.created_at > now(connection) + _AHEAD:  # it would be its job's latest run for ever
        raise UsageError(f"run {run.id} was created in the future, at {run.created_at.isoformat()}", _WHOLE)
    asked, result = dict(run.submission), run.result
    assert result is not None  # noqa: S101  (of a finished run)
    new = NewRun(**asked, key=run.id, layers=item.image.layers, inputs=item.inputs)
    try:
        submit(connection, new, quiet=True)
        finish(connection, run.id, 0, result, queued=True, quiet=True)
        key = key_of(connection, run.id)
        connection.execute(
            update(table)
            .where(table.c.id == key)
            .values(attempt=run.attempt, created_at=run.created_at, imported_from=source)
        )
        if run.box is not None:
            executor = f"imported by {by} from {source}"
            attempt = {"number": run.attempt, "box": run.box, "boot": "", "executor": executor}
            moment = run.started_at or run.created_at
            insert_rows(connection, tables.attempt, [{"run_id": key, **attempt, "claimed_at": moment}])
        insert_rows(connection, tables.attempt, ({"run_id": key, **dict(one)} for one in item.attempts))
        append_events.append(
            connection, "run.imported", run.id, {"bundle": source, **row_evidence.of_run(connection, key)}
        )
    except (DataError, IntegrityError, OverflowError) as error:
        raise UsageError(
            f"run {run.id} holds a value that the record refuses: {_plain(error)}", _WHOLE
        ) from error
    # Read back in the same transaction: a run that would come back changed is refused.
    differences = beside(connection, item)
    if differences:
        raise UsageError(
            f"run {run.id} cannot be recorded as it is: {'; '.join(differences[:SHOWN])}", _WHOLE
        )


def _plain(error: Exception) -> str:
    return " ".join(str(getattr(error, "orig", error)).split())[:200]


def _was_executed_here(connection: Connection, run: str) -> bool:
    table = tables.run
    ours = select(table.c.id).where(table.c.public_id == run, table.c.imported_from.is_(None))
    return connection.execute(ours).first() is not None


def _is_here(connection: Connection, line: VerdictLine) -> bool:
    table, rerun, first = tables.verdict, tables.run, alias(tables.run, "original")
    query = (
        select(table.c.document)
        .join(rerun, rerun.c.id == table.c.run_id)
        .join(first, first.c.id == table.c.original_id)
        .where(
            rerun.c.public_id == line.run,
            first.c.public_id == line.original,
            table.c.created_at == line.created_at,
        )
    )
    text, rows = document(line.document), connection.execute(query)
    there = readable(
        rows, lambda row: document(json.loads(row.document)), lambda _: line.run, "verdict on run"
    )
    return text in there


def _write_verdict(connection: Connection, line: VerdictLine) -> None:
    if state_of(connection, line.original) is None:
        raise UsageError(
            f"a verdict over run {line.run} names run {line.original}: neither here nor in the bundle", _WHOLE
        )
    row = {
        "outcome": line.outcome,
        "document": document(line.document),
        "box": line.box,
        "judged_by": line.by,
        "created_at": line.created_at,
    }
    write_verdict(connection, "verdict.imported", line.run, line.original, row)
