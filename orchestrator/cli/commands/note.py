"""reprise note"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option


@click.command("note")
@click.argument("run")
@click.argument("text", required=False)
@json_option
def command(run: str, text: str | None, as_json: bool) -> None:
    """Write a note on a run, or list its notes.

    Notes stay: none is changed or removed. The same text again by the same person is one note.

    JSON: `run`, `added`, `notes` (`by`, `at`, `text`).
    """
    from orchestrator.cli.terminal.console import line, print_document, show
    from orchestrator.cli.verb_session import opened
    from orchestrator.record.runs.author import person
    from orchestrator.view.runs.annotation_view import note_documents, notes_page

    with opened() as session:
        found = session.record.find(run)
        added = text is not None and session.record.annotations.note(found, text, person())
        notes = session.record.annotations.marks(found).notes
    if as_json:
        print_document({"run": found, "added": added, "notes": note_documents(notes)})
    elif text is not None:
        line(f"noted on {found}" if added else f"already noted on {found}")
    elif notes:
        show(notes_page(notes))
    else:
        line(f"no notes on {found}")
