"""What `reprise init` drafted: files as they are or will be, what to know, what to type next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.message_wording import count
from orchestrator.view.forms.page import Block, Text, Tone, View, next_commands, warning

if TYPE_CHECKING:
    from orchestrator.launch.project_survey.draft_project import DraftedProject

SHOWN = 80  # lines of a file


def draft_page(drafted: DraftedProject) -> Iterator[Block]:
    """The files, before they are written."""
    for name, text in reversed(list(drafted.files.items())):  # the job file first
        lines = text.splitlines()
        if name.endswith(".lock"):
            packages = count(sum("==" in line for line in lines), "package")
            yield Text(f"{drafted.folder / name}: {packages}, with hashes\n")
            continue
        yield Text(f"{drafted.folder / name}", Tone.STRONG)
        yield Text("\n".join(f"  {line}" for line in lines[:SHOWN]))
        if len(lines) > SHOWN:
            yield Text(f"  … {count(len(lines) - SHOWN, 'more line')}", Tone.QUIET)
        yield Text()
    for note in drafted.notes:
        yield warning(note)


def init_view(drafted: DraftedProject, written: bool, shown: bool) -> View:
    """`shown`: the page of the draft has been printed already."""

    def page() -> Iterator[Block]:
        if not shown and not written:
            yield from draft_page(drafted)
        if written:
            for name in drafted.files:
                yield Text(f"wrote {drafted.folder / name}")
            if not shown:
                yield from map(warning, drafted.notes)
        yield next_commands(drafted.next)

    spec, survey = drafted.spec, drafted.survey
    document = {
        "folder": str(drafted.folder),
        "framework": survey.draft.interface.framework,
        "files": dict(drafted.files),
        "written": written,
        "command": spec.command,
        "params": spec.params,
        "seed": spec.seed,
        "inputs": {name: item.path for name, item in spec.inputs.items()},
        "requirements": survey.draft.requirements,
        "notes": list(drafted.notes),
        "next": list(drafted.next),
    }
    return View(document, page(), drafted.next[-1])
