"""reprise origin"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import PathType, json_option

if TYPE_CHECKING:
    from orchestrator.digest import Digest
    from orchestrator.errors import ExitCode


@click.command("origin")
@click.argument("files", metavar="FILE|FOLDER...", nargs=-1, required=True, type=PathType())
@json_option
def command(files: tuple[Path, ...], as_json: bool) -> ExitCode:
    """Find the runs that made a file, by its content.

    What the file is called by now, and where it lies, does not matter. Of a folder every file is looked at;
    links are not followed. Runs that took a file as an input are named, too, and those whose log, trace or
    patch it is, and named data that it is or lies in. Exit code 4 where no run made any of them.

    JSON: `files`, each with `file`, `digest`, `made_by`: `run`, `job`, `path` (as the run called it),
    `state`, `submitted_by`, `created_at`, `image`, `commit`, `dirty`, `params`, `rerun_of`, `verdicts`,
    `names`, `archived`; and `known_as`: `run`, `job`, `role` (input, input file, log, trace, patch), `what`,
    `submitted_by`, `created_at`; and `data`: `name`, `version`, `path` (null: the data is this file), `by`,
    `at`. `folders`: those that are an input or named data as a whole (`folder`, `digest`, `known_as`,
    `data`).
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.terminal.progress_bar import ProgressBar
    from orchestrator.cli.verb_session import opened
    from orchestrator.errors import ExitCode
    from orchestrator.view.runs.origin_view import left_by_a_run, origin_view

    paths, read = list(_all(files)), {}
    with ProgressBar() as bar:
        tick = bar.step("reading")
        for number, path in enumerate(paths):
            read[path] = _digest(path)
            tick(number + 1, len(paths))
    folders = {path: digest for path in files if (digest := _folder_digest(path, read)) is not None}
    with opened() as session:
        made = session.record.history.origin([*read.values()])
        every = [*read.values(), *folders.values()]
        mentions = session.record.history.mentions(every)
        data = session.record.data_sets.mentions(every)
    print_view(origin_view(read, folders, made, mentions, data), as_json)
    return ExitCode.OK if left_by_a_run(made, mentions) else ExitCode.NOT_COMPARABLE


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
    """The digest that the folder has as an input; None if it holds more than plain files."""
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
