"""Files, and the runs that made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from orchestrator.digest import Digest
from orchestrator.record.lineage.lineage_model import Made, Mention
from orchestrator.verdict.verdict_wording import count
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


def origin_view(
    files: Mapping[Path, Digest],
    folders: Mapping[Path, Digest],
    made: Sequence[Made],
    mentions: Sequence[Mention],
) -> View:
    """`made` and `mentions`: all that the record knows of these digests."""
    found = _found(files, made, mentions)
    whole = [item for item in _found(folders, (), mentions) if item.mentions]
    document = {
        "files": [
            {"file": one.path, "digest": one.digest, "made_by": one.made, "known_as": one.mentions}
            for one in found
        ],
        "folders": [{"folder": one.path, "digest": one.digest, "known_as": one.mentions} for one in whole],
    }
    return View(document, _page(found, whole))


def left_by_a_run(made: Sequence[Made], mentions: Sequence[Mention]) -> bool:
    """Whether a run made one of these files: as an output, a log, a trace or a patch, not as an input."""
    return bool(made) or any(item.role not in ("input", "input file") for item in mentions)


def _found(paths: Mapping[Path, Digest], made: Sequence[Made], mentions: Sequence[Mention]) -> list[Found]:
    makers: dict[Digest, list[Made]] = {}
    for one in made:
        makers.setdefault(one.digest, []).append(one)
    known: dict[Digest, list[Mention]] = {}
    for mention in mentions:
        known.setdefault(mention.digest, []).append(mention)
    return [
        Found(path, digest, makers.get(digest, []), known.get(digest, [])) for path, digest in paths.items()
    ]


def _page(found: Sequence[Found], whole: Sequence[Found]) -> Iterator[Block]:
    """Files in groups that the same runs made, in the order in which the user named them."""
    for item in whole:
        yield Text(f"{item.path} as a whole", Tone.STRONG)
        yield from _mentions(item.mentions, alone=True)
        yield Text()
    groups: dict[tuple[object, ...], list[Found]] = {}
    for item in found:
        known = {(mention.run, mention.role, _input_of(mention)) for mention in item.mentions}
        runs = tuple(made.run for made in item.made)
        groups.setdefault((runs, frozenset(known)), []).append(item)
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
