"""Files, and the runs that made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.digest import Digest
from orchestrator.message_wording import count
from orchestrator.record.data_sets.data_model import DataMention
from orchestrator.record.lineage.lineage_model import Made, Mention
from orchestrator.view.forms.human_units import moment_text
from orchestrator.view.forms.page import Block, Fields, Text, Tone, View
from orchestrator.view.runs.run_view import params_text

RUNS_SHOWN = 5  # of one file; reruns of one digest all left the same bytes
FILES_SHOWN = 20  # of one group of files, which the same runs made


class Found(NamedTuple):
    """A file, or a folder as a whole, and what the record knows of its bytes."""

    path: Path
    digest: Digest
    made: Sequence[Made]
    mentions: Sequence[Mention]
    data: Sequence[DataMention]


def origin_view(
    files: Mapping[Path, Digest],
    folders: Mapping[Path, Digest],
    made: Sequence[Made],
    mentions: Sequence[Mention],
    data: Sequence[DataMention],
) -> View:
    """`made`, `mentions` and `data`: all that the record knows of these digests."""
    found = _found(files, made, mentions, data)
    whole = [item for item in _found(folders, (), mentions, data) if item.mentions or item.data]

    def document(one: Found) -> dict[str, Any]:
        return {"digest": one.digest, "known_as": one.mentions, "data": one.data}

    files_document = [{"file": one.path, "made_by": one.made, **document(one)} for one in found]
    folders_document = [{"folder": one.path, **document(one)} for one in whole]
    return View({"files": files_document, "folders": folders_document}, _page(found, whole))


def left_by_a_run(made: Sequence[Made], mentions: Sequence[Mention]) -> bool:
    """Whether a run made one of these files: as an output, a log, a trace or a patch, not as an input."""
    return bool(made) or any(item.role not in ("input", "input file") for item in mentions)


def _found(
    paths: Mapping[Path, Digest],
    made: Sequence[Made],
    mentions: Sequence[Mention],
    data: Sequence[DataMention],
) -> list[Found]:
    sets: dict[Digest, list[DataMention]] = {}
    for item in data:
        sets.setdefault(item.digest, []).append(item)
    makers: dict[Digest, list[Made]] = {}
    for one in made:
        makers.setdefault(one.digest, []).append(one)
    known: dict[Digest, list[Mention]] = {}
    for mention in mentions:
        known.setdefault(mention.digest, []).append(mention)
    return [
        Found(path, digest, makers.get(digest, []), known.get(digest, []), sets.get(digest, []))
        for path, digest in paths.items()
    ]


def _page(found: Sequence[Found], whole: Sequence[Found]) -> Iterator[Block]:
    """Files in groups that the same runs made, in the order in which the user named them."""
    for item in whole:
        yield Text(f"{item.path} as a whole", Tone.STRONG)
        yield from _data_sets(item.data, alone=True)
        yield from _mentions(item.mentions, alone=True)
        yield Text()
    groups: dict[tuple[object, ...], list[Found]] = {}
    for item in found:
        known = {(mention.run, mention.role, _input_of(mention)) for mention in item.mentions}
        runs = tuple(made.run for made in item.made)
        sets = frozenset((one.name, one.version) for one in item.data)
        groups.setdefault((runs, frozenset(known), sets), []).append(item)
    for number, group in enumerate(groups.values()):
        if number:
            yield Text()
        yield from _group(group)


def _group(group: Sequence[Found]) -> Iterator[Block]:
    made, mentions, alone = group[0].made, group[0].mentions, len(group) == 1
    for item in group[:FILES_SHOWN]:
        yield Text(f"{item.path}{'' if alone or not made else f'  (as {made_as(item)})'}", Tone.STRONG)
    if len(group) > FILES_SHOWN:
        yield Text(f"and {count(len(group) - FILES_SHOWN, 'more file')}; --json lists all", Tone.QUIET)
    if not left_by_a_run(made, mentions):
        yield Text(f"  no run made this ({group[0].digest})" if alone else "  no run made these")
    # People mean the first run that is not a rerun.
    for run in sorted(made, key=lambda run: run.rerun_of is not None)[:RUNS_SHOWN]:
        yield _made(run, alone)
    if len(made) > RUNS_SHOWN:
        yield Text(f"  and {count(len(made) - RUNS_SHOWN, 'more run')}; --json lists all", Tone.QUIET)
    yield from _data_sets(group[0].data, alone)
    yield from _mentions(mentions, alone)


def made_as(item: Found) -> str:
    """The file's name in the first run that is not a rerun: people mean that one."""
    return min(item.made, key=lambda made: made.rerun_of is not None).path


def _made(item: Made, alone: bool) -> Fields:
    dirty = " DIRTY (the patch is kept)" if item.dirty else ""
    rerun = f", rerun of {item.rerun_of}" if item.rerun_of else ""
    archived = (", archived" if item.archived else "") + (", imported" if item.imported else "")
    return Fields(
        [
            ("run", f"{item.run}  {item.state.value}{rerun}{archived}"),
            ("alias", ", ".join(item.names)),
            ("job", item.job),
            ("as", item.path if alone else ""),
            ("made", f"{moment_text(item.created_at)} by {item.submitted_by}"),
            ("image", item.image),
            ("params", params_text(item.params)),
            ("git", f"{item.commit[:12]}{dirty}" if item.commit else ""),
            ("verdicts", ", ".join(item.verdicts)),
        ],
        indent=2,
    )


def _data_sets(found: Sequence[DataMention], alone: bool) -> Iterator[Block]:
    """`data mnist@3 (ada, when)`, oldest first; for one file alone, with its path in the data."""
    for item in found[:RUNS_SHOWN]:
        where = f"{item.path} in " if alone and item.path is not None else ""
        what = "in data" if item.path is not None and not where else "data"
        yield Text(f"  {where}{what} {item.name}@{item.version} ({item.by}, {moment_text(item.at)})")
    if len(found) > RUNS_SHOWN:
        yield Text(f"  and in {len(found) - RUNS_SHOWN} more; --json lists all", Tone.QUIET)


def _input_of(mention: Mention) -> str:
    return mention.what.partition("/")[0]


def _mentions(mentions: Sequence[Mention], alone: bool) -> Iterator[Block]:
    """`input data of RUN (job, ada, when)`, oldest first; for one file alone, with its path in the input."""
    for item in mentions[:RUNS_SHOWN]:
        what = {
            "input": f"input {item.what}",
            "input file": f"in input {item.what if alone else _input_of(item)}",
        }.get(item.role, f"the {item.role}")
        yield Text(
            f"  {what} of {item.run} ({item.job}, {item.submitted_by}, {moment_text(item.created_at)})"
        )
    if len(mentions) > RUNS_SHOWN:
        yield Text(f"  and of {len(mentions) - RUNS_SHOWN} more; --json lists all", Tone.QUIET)
