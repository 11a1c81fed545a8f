"""reprise note"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.record.run_record import Remark


@click.command("note")
@click.argument("run")
@click.argument("text", required=False)
@json_option
def command(run: str, text: str | None, as_json: bool) -> None:
    """Write a note on a run, or list its notes.

    Notes stay: none is changed or removed. The same text again by the same person is one note.

    JSON: `run`, `added`, `notes` (`by`, `at`, `text`).
    """
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import line
    from orchestrator.cli.verb_session import opened
    from orchestrator.record.runs.author import person

    with opened() as session:
        found = session.record.find(run)
        added = text is not None and session.record.annotations.note(found, text, person())
        notes = session.record.annotations.marks(found).notes
    if as_json:
        print_document({"run": found, "added": added, "notes": note_documents(notes)})
    elif text is not None:
        line(f"noted on {found}" if added else f"already noted on {found}")
    elif notes:
        print_notes(notes)
    else:
        line(f"no notes on {found}")


def note_documents(notes: Iterable[Remark]) -> list[dict[str, object]]:
    return [{"by": note.by, "at": note.at, "text": note.text} for note in notes]


def print_notes(notes: Iterable[Remark]) -> None:
    """Each as people wrote it; further lines of a note stand under its first."""
    from orchestrator.cli.terminal.clean_text import clean_line
    from orchestrator.cli.terminal.console import line
    from orchestrator.cli.terminal.human_units import moment_text

    for note in notes:
        text = note.text.replace("\n", "\n    ")
        line(f"{moment_text(note.at)}  {clean_line(note.by)}: {text}")
