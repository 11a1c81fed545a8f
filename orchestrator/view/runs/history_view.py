"""The history: a page of runs, and the best of a job."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.record.history.filter_fields import Field
from orchestrator.record.history.queries import LOOKED_AT
from orchestrator.record.run_record import Best, Changed, HistoryFilter, HistoryPage, RunLine, RunRecord
from orchestrator.spec.jobfile.placeholders import text_of
from orchestrator.value import Plain
from orchestrator.view.forms.human_units import (
    incomplete_text,
    moment_text,
    number_text,
    span_text,
    step_text,
)
from orchestrator.view.forms.page import Block, Table, Text, Tone, View
from orchestrator.view.runs.run_view import BOX_SHOWN, next_page, run_document, run_page

COLUMNS = 3  # parameters, metrics and changes that are shown; the rest is in `show`
_BEST = {"min": "least", "max": "greatest", "last": "last"}


class Answer(NamedTuple):
    """The record's answer to a question."""

    wanted: HistoryFilter
    page: HistoryPage
    sorted_by: Field | None
    why_nothing: Sequence[str]  # sentences, where no run fits


def history_view(found: Answer) -> View:
    page, notes = found.page, history_notes(found)
    document: dict[str, Any] = {
        "runs": page.lines,
        "limit": found.wanted.limit,
        "more": page.next is not None or page.left,
        "next": page.next,
        "notes": notes,
    }
    if found.wanted.changed is not None:
        document["changed"] = page.changes
    return View(document, runs_page(found))


def history_notes(found: Answer) -> list[str]:
    """What the page leaves out, or why it is empty."""
    notes, runs = list(found.why_nothing), found.page.lines
    further = f"--after {found.page.next} goes on from here"
    if found.page.left:
        notes.append(
            f"looked at {LOOKED_AT:,} runs; narrow the rest with --job, --since or --where, or {further}"
        )
    if runs and found.sorted_by is not None and _value_in(runs[0], found.sorted_by) is None:
        notes.append(f"none of these runs has {found.sorted_by}: the newest come first")
    torn = sum(bool(run.metrics_incomplete) for run in runs)
    if torn:
        notes.append(incomplete_text(torn, "these runs"))
    if found.page.next is not None and not found.page.left:
        these = "this run" if len(runs) == 1 else f"these {len(runs):,} runs"
        notes.append(f"there are more than {these}; --limit shows more of them, {further}")
    return notes


def runs_page(found: Answer) -> Iterator[Block]:
    """One line each. What changed, what is sorted by, aliases and tags have columns where there are any."""
    runs, sorted_by = found.page.lines, found.sorted_by
    if not runs:
        yield Text("no runs")
        return
    columns = {"run": [run.id for run in runs], "job": [run.job for run in runs]}
    if found.wanted.changed is not None:
        columns["changed"] = [changed_text(found.page.changes[run.id]) for run in runs]
    if sorted_by is not None and sorted_by.word == "metrics":
        columns[str(sorted_by)] = [_sorted_text(run, sorted_by) for run in runs]
    columns |= _columns(
        runs, sorted_by.name if sorted_by is not None and sorted_by.word == "params" else None
    )
    marks = [", ".join((*run.names, *run.tags)) for run in runs]
    if any(marks):
        columns["alias, tags"] = marks
    yield Table(tuple(columns), list(zip(*columns.values(), strict=True)), right=("time",))


def _columns(runs: Sequence[RunLine], sorted_by: str | None) -> dict[str, list[str]]:
    """`sorted_by`: the parameter that the runs are sorted by; it is shown before all others."""
    differing = _differing(runs)
    return {
        "state": [run.state.value + (f" ({run.failure.value})" if run.failure else "") for run in runs],
        "created": [moment_text(run.created_at) for run in runs],
        "by": [run.submitted_by for run in runs],
        "box": [_box(run) for run in runs],
        "time": [span_text(run.seconds) for run in runs],
        "params": [_few(run.params, text_of, differing[run.job] | {sorted_by: 0}) for run in runs],
        "metrics": [
            _few(run.metrics, number_text) + " INCOMPLETE" * bool(run.metrics_incomplete) for run in runs
        ],
        "verdict": [_verdict(run) for run in runs],
        "image": [run.image.short for run in runs],
    }


def _differing(runs: Sequence[RunLine]) -> dict[str, dict[str | None, int]]:
    """By job, the parameters in which its runs on this page differ, with a rank: they tell lines apart."""
    first: dict[str, Mapping[str, Any]] = {}
    found: dict[str, dict[str | None, int]] = {}
    for run in runs:
        known, ranks = first.setdefault(run.job, run.params), found.setdefault(run.job, {})
        for name in known.keys() | run.params.keys():
            if known.get(name) != run.params.get(name):
                ranks[name] = 1
    return found


def _verdict(run: RunLine) -> str:
    """Of a run that repeats another: what it showed, or why it was made."""
    if run.verdict is not None:
        return run.verdict
    if run.operations_of_step is not None:
        return f"operations of step {run.operations_of_step}"
    return "rerun" if run.rerun_of else ""


def _box(run: RunLine) -> str:
    text = run.box_name or (run.box or "-")[:BOX_SHOWN]
    return f"{text} (imported)" if run.imported else text


def _few(
    values: Mapping[str, Any], text: Callable[[Any], str], ranks: Mapping[str | None, int] | None = None
) -> str:
    """`a=1 b=2 c=3 +4`: by rank and name; without a rank after rank 1."""
    names = sorted(values, key=lambda name: ((ranks or {}).get(name, 2), name))
    more = f" +{len(values) - COLUMNS}" if len(values) > COLUMNS else ""
    return " ".join(f"{name}={text(values[name])}" for name in names[:COLUMNS]) + more


def _value_in(run: RunLine, field: Field) -> object:
    """A run's value of a parameter or metric; True for its other fields, which every run has."""
    if field.word == "params":
        return run.params.get(str(field.name))
    if field.word != "metrics":
        return True
    if field.part.value == "last":
        return run.metrics.get(str(field.name))
    found = run.reached.get(str(field.name))
    return None if found is None else getattr(found, field.part.value)


def _sorted_text(run: RunLine, field: Field) -> str:
    """`0.93 at step 40`."""
    value = _value_in(run, field)
    if not isinstance(value, float):
        return "-" if value is None else f"{value}"
    return number_text(value) + step_text(getattr(run.reached[str(field.name)], f"{field.part.value}_step"))


def changed_text(changed: Changed) -> str:
    """`torch 2.12 -> 2.13, +x 1.0, -y 2.0`; of files and digests only whether they are new or gone."""
    texts = []
    for delta in changed.deltas:
        name, before, after = delta.name, _value(delta.before), _value(delta.after)
        if delta.before is None:
            texts.append(f"+{name} {after}".rstrip())
        elif delta.after is None:
            texts.append(f"-{name} {before}".rstrip())
        else:
            texts.append(f"{name} {before} -> {after}" if before else name)
    more = len(texts) - COLUMNS
    return ", ".join(texts[:COLUMNS]) + (f" and {more} more" if more > 0 else "")


def _value(value: Plain) -> str:
    """A hash becomes empty: it says nothing to a reader. A digest is shortened."""
    text = str(value)
    if re.fullmatch(r"[0-9a-f]{64}", text):
        return ""
    return re.sub(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}", r"\1", text)


def best_view(found: Best, run: RunRecord) -> View:
    def page() -> Iterator[Block]:
        yield Text(f"{best_text(found)}\n", Tone.STRONG)
        yield from run_page(run)
        yield next_page(run)

    facts = {name: getattr(found, name) for name in ("metric", "part", "value", "step", "incomplete")}
    return View(run_document(run) | {"best": facts}, page())


def best_text(found: Best) -> str:
    """`best: greatest accuracy 0.93 at step 40; its last is 0.88 at step 100`."""
    name = found.metric
    value = f"{_BEST[found.part]} {name} {number_text(found.value)}{step_text(found.step)}"
    last = found.line.metrics[name]
    if found.part == "last" or repr(last) == repr(found.value):
        return f"best: {value}"
    at = step_text(found.line.reached[name].last_step)
    return f"best: {value}; its last is {number_text(last)}{at}"
