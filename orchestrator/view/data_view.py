"""Named data: what was added, what there is, and who took it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from orchestrator.digest import Digest
from orchestrator.message_wording import count
from orchestrator.record.data_sets.data_model import DataUse, DataVersion
from orchestrator.spec.inputs import InputFile
from orchestrator.view.forms.human_units import moment_text, size_text
from orchestrator.view.forms.json_form import jsonable
from orchestrator.view.forms.page import Block, Fields, Table, Text, Tone, View, next_commands

FILES_SHOWN = 20
USES_SHOWN = 10


def _document(version: DataVersion) -> dict[str, Any]:
    return dict(jsonable(version))


def added_view(version: DataVersion, last: DataVersion, new: bool) -> View:
    """`last`: the name's last version; another one where the bytes were there before."""
    what = f"{version.reference}  {version.digest}  ({_extent(version)})"
    said = what if new else f"{what} is there already"
    if last != version:
        said += f"; the last version is {last.reference}"

    def page() -> Iterator[Block]:
        yield Text(said)
        yield next_commands([f"in a job file:  inputs: {{NAME: data:{version.name}}}"])

    document = _document(version) | {"new": new, "last": last.version}
    return View(document, page(), version.reference)


def list_view(versions: Sequence[DataVersion]) -> View:
    """One line per name."""

    def page() -> Iterator[Block]:
        last: dict[str, DataVersion] = {}
        for item in versions:
            last.setdefault(item.name, item)
        if not last:
            yield Text("no data has a name; `reprise data add PATH` gives it one")
            return
        yield _table(list(last.values()))

    return View({"data": [_document(item) for item in versions]}, page())


def _table(versions: Sequence[DataVersion]) -> Table:
    rows = [
        (
            item.reference,
            str(item.files) if item.folder else "a file",
            size_text(item.size),
            moment_text(item.at),
            item.by,
            item.digest,
        )
        for item in versions
    ]
    return Table(("data", "files", "size", "added", "by", "digest"), rows, right=("files", "size"))


def _extent(version: DataVersion) -> str:
    return (f"{count(version.files, 'file')}, " if version.folder else "") + size_text(version.size)


def shown_data(
    version: DataVersion,
    versions: Sequence[DataVersion],
    files: Sequence[InputFile],
    uses: Sequence[DataUse],
) -> View:
    """`versions`: all of the name; `uses`: runs that took these bytes, the newest first."""

    def page() -> Iterator[Block]:
        yield Fields(
            [
                ("data", version.reference),
                ("digest", version.digest),
                ("holds", _extent(version)),
                ("added", f"{moment_text(version.at)} by {version.by}"),
            ]
        )
        if len(versions) > 1:
            yield Text()
            yield _table(versions)
        yield from _files(version, files)
        yield from _uses(uses)

    document = _document(version) | {"versions": versions, "listing": files, "used_by": uses}
    return View(document, page())


def _files(version: DataVersion, files: Sequence[InputFile]) -> Iterator[Block]:
    if files:
        yield Text()
        rows = [(file.path, size_text(file.size)) for file in files[:FILES_SHOWN]]
        yield Table(("file", "size"), rows, right=("size",))
    if len(files) > FILES_SHOWN:
        yield Text(f"and {len(files) - FILES_SHOWN} more files; --json lists all", Tone.QUIET)
    if version.folder and not files and version.files:
        yield Text("its files are too many to be listed in the record", Tone.QUIET)


def _uses(uses: Sequence[DataUse]) -> Iterator[Block]:
    yield Text()
    if not uses:
        yield Text("no run has taken it")
        return
    rows = [
        (
            item.run,
            item.job,
            item.input,
            "" if item.named else "the same bytes, not by this name",
            moment_text(item.created_at),
            item.submitted_by,
        )
        for item in uses[:USES_SHOWN]
    ]
    yield Table(("taken by", "job", "input", "", "created", "by"), rows)
    if len(uses) > USES_SHOWN:
        yield Text(f"and {len(uses) - USES_SHOWN} more; --json lists all", Tone.QUIET)


def copied_data_view(digest: Digest, version: DataVersion | None, target: Path) -> View:
    named = version.reference if version is not None else digest
    document = {
        "digest": digest,
        "copied_to": target,
        "name": version.name if version is not None else None,
        "version": version.version if version is not None else None,
    }
    return View(document, [Text(f"{named} is in {target}")], str(target))
