"""A project's lock, as a document and as a page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.message_wording import count
from orchestrator.view.forms.page import Block, Table, Text, Tone, View, next_commands

if TYPE_CHECKING:
    from orchestrator.launch.locking.lock_project import LockedProject


def lock_view(done: LockedProject, checked: bool) -> View:
    """The lock's path is the last line."""
    sources, locked = done.sources, done.locked
    named = ", ".join(path.name for path in sources.files)

    def page() -> Iterator[Block]:
        if locked.packages:
            rows = [
                (one.pin.name, one.pin.version, ", ".join(one.needed_by) or "asked for")
                for one in locked.packages
            ]
            yield Table(("package", "version", "needed by"), rows)
        yield from (Text(f"note: {text}", Tone.ODD) for text in done.notes)
        brought = (
            f"{count(len(locked.packages), 'package')} from {named}, {len(locked.provided)} more in the base"
        )
        yield Text(f"{brought} {done.base}" + ("" if done.changed else "; the lock is as it was"))
        if not sources.named and not checked:
            where = sources.job_file.name if sources.job_file is not None else "the job file"
            folder = (sources.job_file or sources.files[0]).parent
            lock = os.path.relpath(sources.output, folder)  # a job file's paths are seen from its folder
            yield next_commands([f"write `requirements: {lock}` into {where}"])
        yield Text(str(sources.output))

    document = {
        "lock": str(sources.output),
        "sources": [str(path) for path in sources.files],
        "base": done.base,
        "changed": done.changed,
        "packages": [
            {"name": one.pin.name, "version": one.pin.version, "needed_by": list(one.needed_by)}
            for one in locked.packages
        ],
        "provided": list(locked.provided),
        "notes": list(done.notes),
    }
    return View(document, page(), str(sources.output))
