"""What mattered for a metric: each parameter's share, or why it cannot be told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.analysis.importance.parameter_importance import (
    MOST_PARAMETERS,
    MOST_RUNS,
    Importance,
    Share,
)
from orchestrator.analysis.importance.trials_of_runs import Gathered
from orchestrator.value import Value
from orchestrator.view.forms.page import Block, Table, Text, Tone, View

_PARTS = {"last": "last", "min": "least", "max": "greatest"}
TOGETHER = "these go together, so it cannot be told which of them it was"


class ImportanceQuestion(Value):
    """What was asked: the metric, and which of its values counts."""

    metric: str
    part: str  # last, min, max


def importance_view(asked: ImportanceQuestion, gathered: Gathered, found: Importance) -> View:
    return View(importance_document(asked, gathered, found), importance_page(asked, gathered, found))


def importance_document(asked: ImportanceQuestion, gathered: Gathered, found: Importance) -> dict[str, Any]:
    """`signs` are Spearman's rank correlations; null for categories."""
    facts = found._asdict() | {"shares": [share._asdict() for share in found.shares]}
    return asked.model_dump() | facts | {"ended": gathered.ended, "without": gathered.without}


def importance_page(asked: ImportanceQuestion, gathered: Gathered, found: Importance) -> Iterator[Block]:
    yield Text(f"what mattered for the {_PARTS[asked.part]} {asked.metric}", Tone.STRONG)
    if found.told:
        rows = [(", ".join(share.names), share_text(share), signs_text(share)) for share in found.shares]
        yield Table(("parameter", "share", "rank correlation"), rows, right=("share", "rank correlation"))
    else:
        yield Text(f"cannot be told: {found.why_not}", Tone.ODD)
    for note in importance_notes(gathered, found):
        yield Text(note, Tone.QUIET)


def share_text(share: Share) -> str:
    return f"{share.share:.0%}"


def signs_text(share: Share) -> str:
    """`+0.62`; a dash for categories."""
    return ", ".join("-" if one is None else f"{one:+.2f}" for one in share.signs)


def importance_notes(gathered: Gathered, found: Importance) -> list[str]:
    """How sure the answer is, how many runs it rests on, and what was left out."""
    notes = []
    if found.r2 is not None:
        notes.append(f"R² {found.r2:.2f}: how well runs that were held back are predicted, 1 at best")
    notes.append(_runs_text(gathered, found))
    if found.logarithmic:
        notes.append("its logarithm is explained: the values span a factor of a hundred or more")
    if any(len(share.names) > 1 for share in found.shares):
        notes.append(f"parameters on one line: {TOGETHER}")
    if found.constant:
        notes.append(f"the same in all these runs: {', '.join(found.constant)}")
    if found.beyond:
        notes.append(
            f"{MOST_PARAMETERS} parameters at most are weighed; left out, because they go least with the"
            f" metric: {', '.join(found.beyond)}"
        )
    return notes


def _runs_text(gathered: Gathered, found: Importance) -> str:
    parts = [f"{found.runs:,} runs were weighed"]
    others = {word: count for word, count in sorted(gathered.ended.items()) if word != "succeeded"}
    parts += [f"{count:,} {word}" for word, count in others.items()]
    if gathered.without:
        parts.append(f"{gathered.without:,} without the metric")
    if found.unusable:
        parts.append(f"{found.unusable:,} without a finite value")
    if found.over:
        parts.append(f"{found.over:,} older than the newest {MOST_RUNS:,}")
    return parts[0] + (f"; left out: {', '.join(parts[1:])}" if parts[1:] else "")
