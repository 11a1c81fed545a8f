"""What people say of a run, as `show` prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.cli.commands.note import note_documents, print_notes
from orchestrator.cli.terminal import console
from orchestrator.cli.terminal.human_units import moment_text

if TYPE_CHECKING:
    from orchestrator.record.run_record import RunAnnotations


def said_document(said: RunAnnotations) -> dict[str, Any]:
    away = said.archived
    return {
        "notes": note_documents(said.notes),
        "tags": said.tags,
        "names": said.names,
        "archived": {"by": away.by, "at": away.at} if away else None,
    }


def print_said(said: RunAnnotations) -> None:
    """Nothing where nobody said anything."""
    if said == type(said)():
        return
    console.line()
    away = said.archived
    console.fields(
        [
            ("name", ", ".join(said.names)),
            ("tags", ", ".join(said.tags)),
            ("archived", f"by {away.by}, {moment_text(away.at)}" if away else ""),
        ]
    )
    print_notes(said.notes)
