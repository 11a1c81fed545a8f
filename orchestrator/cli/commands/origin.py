"""reprise origin"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from orchestrator.digest import Digest
    from orchestrator.errors import ExitCode
    from orchestrator.record.lineage.lineage_model import Made, Mention

RUNS_SHOWN = 5  # of one file; reruns of one digest all left the same bytes
FILES_SHOWN = 20  # of one group of files, which the same runs made


class Found(NamedTuple):
    """A file, or a folder as a whole, and what the record knows of its bytes."""

    path: Path
    digest: Digest
    made: list[Made]
    mentions: list[Mention]


@click.command("origin")
@click.argument("files", metavar="FILE|FOLDER...", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def command(files: tuple[Path, ...], as_json: bool) -> ExitCode:
    """Find the runs that made a file, by its content.

    What the file is called by now, and where it lies, does not matter. Of a folder every file is looked at;
    links are not followed. Runs that took a file as an input are named, too, and those whose log, trace or
    patch it is. Exit code 4 where no run made any of them.

    JSON: `files`, each with `file`, `digest`, `made_by`: `run`, `job`, `path` (as the run called it),
    `state`, `submitted_by`, `created_at`, `image`, `commit`, `dirty`, `params`, `rerun_of`, `verdicts`,
    `names`, `archived`; and `known_as`: `run`, `job`, `role` (input, input file, log, trace, patch), `what`,
    `submitted_by`, `created_at`. `folders`: those that are an input as a whole (`folder`, `digest`,
    `known_as`).
    """
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.bar import with_bar
    from orchestrator.cli.verb_session import opened
    from orchestrator.errors import ExitCode

    paths = list(_all(files))
    read = {path: _digest(path) for path in with_bar(paths, len(paths), "reading")}
    folders = {path: digest for path in files if (digest := _folder_digest(path, read)) is not None}
    with opened() as session:
        made = session.record.history.origin([*read.values()])
        mentions = session.record.history.mentions([*read.values(), *folders.values()])
    found = _found(read, made, mentions)
    whole = [item for item in _found(folders, (), mentions) if item.mentions]
    if as_json:
        print_document({"files": list(map(_document, found)), "folders": list(map(_folder, whole))})
    else:
        _print(found, whole)
    ours = made or any(item.role not in ("input", "input file") for item in mentions)
    return ExitCode.OK if ours else ExitCode.NOT_COMPARABLE


def _found(read: Mapping[Path, Digest], made: Sequence[Made], mentions: Sequence[Mention]) -> list[Found]:
    found = {path: Found(path, digest, [], []) for path, digest in read.items()}
    by_digest: dict[Digest, Found] = {item.digest: item for item in found.values()}
    for one in made:
        by_digest[one.digest].made.append(one)
    for mention in mentions:
        if mention.digest in by_digest:
            by_digest[mention.digest].mentions.append(mention)
    return [by_digest[item.digest]._replace(path=item.path) for item in found.values()]


def _document(item: Found) -> dict[str, object]:
    return {"file": item.path, "digest": item.digest, "made_by": item.made, "known_as": item.mentions}


def _folder(item: Found) -> dict[str, object]:
    return {"folder": item.path, "digest": item.digest, "known_as": item.mentions}


def _all(files: tuple[Path, ...]) -> Iterator[Path]:
    """Plain files, and those in folders, sorted."""
    from orchestrator.errors import UsageError

    for path in files:
        if os.path.isdir(path):  # noqa: PTH112  (Path's raises for a name that is too long)
            yield from sorted(item for item in path.rglob("*") if item.is_file() and not item.is_symlink())
        elif os.path.isfile(path):  # noqa: PTH113
            yield path
        else:
            raise UsageError(f"{path} is neither a file nor a folder", "name a file that a run may have made")


def _digest(path: Path) -> Digest:
    from orchestrator.digest import Digest
    from orchestrator.errors import UsageError

    try:
        with path.open("rb") as stream:
            return Digest.of_stream(stream)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "make it readable for you") from error


def _folder_digest(folder: Path, read: Mapping[Path, Digest]) -> Digest | None:
    """As an input: of a folder of plain files, from the digests that were read; None for any other."""
    from orchestrator.spec.inputs import folder_digest

    if not folder.is_dir():
        return None
    inside = [path for path in read if folder in path.parents]
    every = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    if len(every) != len(inside):
        return None
    entries = [(path.relative_to(folder).as_posix(), read[path].hex, path.stat().st_size) for path in inside]
    try:
        return folder_digest(sorted(entries, key=lambda entry: entry[0].encode()))
    except UnicodeEncodeError:  # no input has such a name
        return None


def _print(found: Sequence[Found], whole: Sequence[Found]) -> None:
    """Files that the same runs made, in one group; in the order in which they were named."""
    from orchestrator.cli.terminal.console import BOLD, line

    for item in whole:
        line(f"{item.path} as a whole", BOLD)
        _print_mentions(item.mentions, alone=True)
        line()
    groups: dict[tuple[object, ...], list[Found]] = {}
    for item in found:
        known = {(mention.run, mention.role, _input_of(mention)) for mention in item.mentions}
        runs = tuple(made.run for made in item.made)
        groups.setdefault((runs, frozenset(known)), []).append(item)
    for number, group in enumerate(groups.values()):
        if number:
            line()
        _print_group(group)


def _print_group(group: Sequence[Found]) -> None:
    from orchestrator.cli.terminal.console import BOLD, DIM, line

    made, mentions = group[0].made, group[0].mentions
    for item in group[:FILES_SHOWN]:
        as_named = "" if len(group) == 1 or not made else f"  (as {made_as(item)})"
        line(f"{item.path}{as_named}", BOLD)
    if len(group) > FILES_SHOWN:
        line(f"and {len(group) - FILES_SHOWN} more files; --json lists all", DIM)
    if not made:
        ours = any(item.role not in ("input", "input file") for item in mentions)
        if not ours:
            digest = f" ({group[0].digest})" if len(group) == 1 else ""
            line(f"  no run made this{digest}" if len(group) == 1 else "  no run made these")
    # The first run that is no rerun is the one that people mean.
    for run in sorted(made, key=lambda run: run.rerun_of is not None)[:RUNS_SHOWN]:
        _print_made(run, alone=len(group) == 1)
    if len(made) > RUNS_SHOWN:
        line(f"  and {len(made) - RUNS_SHOWN} more runs; --json lists all", DIM)
    _print_mentions(mentions, alone=len(group) == 1)


def made_as(item: Found) -> str:
    """What the run that people mean called the file."""
    return min(item.made, key=lambda made: made.rerun_of is not None).path


def _print_made(item: Made, alone: bool) -> None:
    from orchestrator.cli.terminal.console import fields
    from orchestrator.cli.terminal.human_units import moment_text
    from orchestrator.spec.jobfile.placeholders import text_of

    dirty = " DIRTY (the patch is kept)" if item.dirty else ""
    rerun = f", rerun of {item.rerun_of}" if item.rerun_of else ""
    archived = (", archived" if item.archived else "") + (", imported" if item.imported else "")
    fields(
        [
            ("run", f"{item.run}  {item.state.value}{rerun}{archived}"),
            ("name", ", ".join(item.names)),
            ("job", item.job),
            ("as", item.path if alone else ""),
            ("made", f"{moment_text(item.created_at)} by {item.submitted_by}"),
            ("image", item.image),
            ("params", "  ".join(f"{name}={text_of(value)}" for name, value in sorted(item.params.items()))),
            ("git", f"{item.commit[:12]}{dirty}" if item.commit else ""),
            ("verdicts", ", ".join(item.verdicts)),
        ],
        indent=2,
    )


def _input_of(mention: Mention) -> str:
    return mention.what.partition("/")[0]


def _print_mentions(mentions: Sequence[Mention], alone: bool) -> None:
    """`input data of RUN (job, ada, when)`, oldest first; of a file in it, its path where it is alone."""
    from orchestrator.cli.terminal.console import DIM, line
    from orchestrator.cli.terminal.human_units import moment_text

    for item in mentions[:RUNS_SHOWN]:
        what = {
            "input": f"input {item.what}",
            "input file": f"in input {item.what if alone else _input_of(item)}",
        }.get(item.role, f"the {item.role}")
        line(f"  {what} of {item.run} ({item.job}, {item.submitted_by}, {moment_text(item.created_at)})")
    if len(mentions) > RUNS_SHOWN:
        line(f"  and of {len(mentions) - RUNS_SHOWN} more; --json lists all", DIM)
