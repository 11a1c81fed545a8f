"""What each kind of event may say of rows, and when: no later event changes what was over or said.

An event says what rows are from then on. So whoever can write to the database could append one that gives an
old run other metrics, change the row with it, and event and row would agree. Reprise writes no such event. A
kind says only what stands here; a run begins once and ends once; a note or a verdict is said once. `append`
refuses what breaks the first of these, and the audit finds what breaks any. No database is needed for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from orchestrator.record.ledger.fold_events import KEYED, LIST_NAMES, OWNED, SHARED, fold, told_in
from orchestrator.record.run_record import BoxFacts
from orchestrator.record.runs.unreadable_rows import WRONG
from orchestrator.run.attempt_model import FINAL_STATES, Result

_TABLES = frozenset(("run", *KEYED, *SHARED, *OWNED, *LIST_NAMES))
_FINAL = frozenset(state.value for state in FINAL_STATES)
_ASKED = ("param", "run_input", "wanted", "git_state", "input_origin")
_MEASURED = tuple(name for name in LIST_NAMES if name not in _ASKED)
_STEP = ("state", "attempt")
_OF_A_RUN = ("run", *KEYED, *LIST_NAMES)


class _Rule(NamedTuple):
    adds: tuple[str, ...] = ()  # tables to which it may add rows
    changes: Mapping[str, Collection[str]] = {}  # table -> columns of a row that is there
    begins: bool = False  # the first event of a run, and no other
    after_end: bool = False  # of a run that is over, too


_SAID = _Rule(adds=("annotation",), after_end=True)
_JUDGED = _Rule(adds=("verdict",), after_end=True)

RULES: dict[str, _Rule] = {
    "job.recorded": _Rule(adds=("job",)),
    "image.recorded": _Rule(adds=("image", "image_layer")),
    # Whoever hashed the bytes puts right what a bundle said of them; a box may change.
    "input.recorded": _Rule(
        adds=("input_data", "input_file"), changes={"input_data": ("folder", "files", "size")}
    ),
    "data.named": _Rule(adds=("data_version",)),
    "box.introduced": _Rule(adds=("box",), changes={"box": (*BoxFacts.model_fields, "started_at")}),
    "run.adopted": _Rule(adds=_OF_A_RUN, begins=True),
    "run.imported": _Rule(adds=_OF_A_RUN, begins=True),
    "run.submitted": _Rule(adds=("run", *_ASKED), begins=True),
    "run.launched": _Rule(adds=("launch",)),
    "run.placed": _Rule(changes={"launch": ("ref",)}, after_end=True),  # a launcher may be late
    "run.claimed": _Rule(adds=("attempt",), changes={"run": _STEP}),
    "run.planned": _Rule(changes={"attempt": ("plan",)}),
    "run.taken_over": _Rule(changes={"attempt": ("executor",)}),
    "run.moved": _Rule(changes={"run": ("state",)}),
    "run.requeued": _Rule(adds=("launch",), changes={"run": _STEP, "launch": ("ended", "ended_at")}),
    "run.cancel_requested": _Rule(changes={"run": ("cancel_requested_at",)}),
    "run.finished": _Rule(
        adds=_MEASURED, changes={"run": (*Result.model_fields, "recorded_at"), "attempt": ("seal",)}
    ),
    "run.noted": _SAID,
    "run.tagged": _SAID,
    "run.named": _SAID,
    "run.archived": _SAID,
    "verdict.given": _JUDGED,
    "verdict.imported": _JUDGED,
    "verdict.adopted": _JUDGED,
    "store.mended": _Rule(),
    "store.swept": _Rule(),
}


def said_too_much(kind: str, data: Mapping[str, Any]) -> str | None:
    """In words, what this event says that its kind never says; None if there is nothing."""
    rule = RULES.get(kind)
    if rule is None:
        return f"no kind of event: {kind:.40}"
    for name in sorted(_TABLES.intersection(data)):
        if name not in rule.adds and name not in rule.changes:
            return f"{kind} says nothing of {name}"
    return None


def against_rules(kind: str, data: Mapping[str, Any], said: Mapping[str, Any]) -> str | None:
    """Why Reprise would not have written this event of a run; None: it may have.

    `said`: the run's events before it, folded. TypeError or AttributeError for data that are no mappings.
    """
    if (what := said_too_much(kind, data)) is not None:
        return what
    rule = RULES[kind]
    if rule.begins is bool(said):
        return f"{kind} stands after the run's beginning" if said else f"{kind} stands before its beginning"
    if not rule.after_end and said.get("run", {}).get("state") in _FINAL:
        return f"{kind} stands after the run's end"
    for name in sorted(_TABLES.intersection(data)):
        if name == "run":
            what = _changes(rule, name, data[name], said.get(name))
        elif name in KEYED:
            there = said.get(name, {})
            found = (_changes(rule, name, row, there.get(key)) for key, row in data[name].items())
            what = next((one for one in found if one is not None), None)
        if what is not None:
            return f"{kind} changes {what}"
    return None


def broken_rules(documents: Iterable[bytes], said: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Fold the events of a run into `said`: index and why, of each that Reprise would not have written.

    Damaged ones are passed over: the tree and its signed heads tell of these.
    """
    for document in documents:
        with suppress(*WRONG):
            index, kind, data = told_in(document)
            problem = against_rules(kind, data, said)
            fold(said, data)
            if problem is not None:
                yield index, problem


def changes_shared(kind: str, table: str, row: Mapping[str, Any], *, new: bool) -> str | None:
    """The same of one row that runs share."""
    if (what := said_too_much(kind, {table: row})) is not None:
        return what
    what = _changes(RULES[kind], table, row, None if new else {})
    return None if what is None else f"{kind} changes {what}"


def _changes(rule: _Rule, table: str, row: Mapping[str, Any], there: Mapping[str, Any] | None) -> str | None:
    """The first column that it changes and may not; None without. `there`: the row as it was; None: new."""
    if there is None and table in rule.adds:
        return None
    may, before = rule.changes.get(table, ()), there or {}
    other = sorted(name for name in row.keys() - set(may) if row[name] != before.get(name))
    return f"{table}.{other[0]}" if other else None
