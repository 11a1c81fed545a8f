"""What people say of runs: notes, tags, aliases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from orchestrator.record.run_record import Remark, RunAnnotations, RunName
from orchestrator.view.forms.clean_text import clean_line
from orchestrator.view.forms.human_units import moment_text
from orchestrator.view.forms.page import Block, Fields, Table, Text


def marks_document(marks: RunAnnotations) -> dict[str, Any]:
    away = marks.archived
    return {
        "notes": note_documents(marks.notes),
        "tags": marks.tags,
        "names": marks.names,
        "archived": {"by": away.by, "at": away.at} if away else None,
    }


def marks_page(marks: RunAnnotations) -> Iterator[Block]:
    """Empty for a run without notes, tags and aliases."""
    if marks == RunAnnotations():
        return
    away = marks.archived
    yield Text()
    yield Fields(
        [
            ("alias", ", ".join(marks.names)),
            ("tags", ", ".join(marks.tags)),
            ("archived", f"by {away.by}, {moment_text(away.at)}" if away else ""),
        ]
    )
    yield from notes_page(marks.notes)


def note_documents(notes: Iterable[Remark]) -> list[dict[str, Any]]:
    return [{"by": note.by, "at": note.at, "text": note.text} for note in notes]


def notes_page(notes: Iterable[Remark]) -> Iterator[Text]:
    """Each note as it was written; its further lines are indented."""
    for note in notes:
        text = note.text.replace("\n", "\n    ")
        yield Text(f"{moment_text(note.at)}  {clean_line(note.by)}: {text}")


def alias_documents(names: Iterable[RunName]) -> list[dict[str, Any]]:
    past = ("run", "kind", "by", "at")
    return [
        {"name": item.name, "run": item.run, "job": item.job}
        | {"past": [{name: getattr(line, name) for name in past} for line in item.past]}
        for item in names
    ]


def aliases_page(names: Sequence[RunName]) -> Iterator[Block]:
    """The runs that have an alias now."""
    rows = [
        (item.name, item.run, item.job or "", moment_text(item.past[-1].at), item.past[-1].by)
        for item in names
        if item.run is not None
    ]
    yield Table(("alias", "run", "job", "since", "by"), rows) if rows else Text("no run has an alias")


def alias_past(name: RunName) -> Table:
    """The runs that had an alias, the oldest first."""
    rows = [
        (moment_text(line.at), line.run if line.kind == "name" else f"no longer {line.run}", line.by)
        for line in name.past
    ]
    return Table(("since", "run", "by"), rows)
