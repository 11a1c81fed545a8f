"""reprise whence"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from orchestrator.digest import Digest
    from orchestrator.errors import ExitCode
    from orchestrator.record.model import Made

RUNS_SHOWN = 5  # of one file; reruns of one digest all left the same bytes


@click.command("whence")
@click.argument("files", metavar="FILE|FOLDER...", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def command(files: tuple[Path, ...], as_json: bool) -> ExitCode:
    """Find the runs that made a file, by its content.

    What the file is called by now, and where it lies, does not matter. Of a folder every file is looked at;
    links are not followed. Exit code 4 where no run made any of them.

    JSON: `files`, each with `file`, `digest` and `made_by`: `run`, `job`, `path` (as the run called it),
    `state`, `submitted_by`, `created_at`, `image`, `commit`, `dirty`, `params`, `rerun_of`, `verdicts`.
    """
    from orchestrator.cli.bar import with_bar
    from orchestrator.cli.box import opened
    from orchestrator.cli.console import line
    from orchestrator.cli.document import print_document
    from orchestrator.errors import ExitCode

    paths = list(_all(files))
    found = [(path, _digest(path)) for path in with_bar(paths, len(paths), "reading")]
    with opened() as session:
        made = session.record.whence([digest for _, digest in found])
    by_digest: dict[Digest, list[Made]] = {}
    for item in made:
        by_digest.setdefault(item.digest, []).append(item)
    if as_json:
        print_document(
            {
                "files": [
                    {"file": path, "digest": digest, "made_by": by_digest.get(digest, [])}
                    for path, digest in found
                ]
            }
        )
    else:
        for number, (path, digest) in enumerate(found):
            if number:
                line()
            _print(path, digest, by_digest.get(digest, []))
    return ExitCode.OK if made else ExitCode.NOT_COMPARABLE


def _all(files: tuple[Path, ...]) -> Iterator[Path]:
    """Plain files, and those in folders, sorted."""
    from orchestrator.errors import UsageError

    for path in files:
        if path.is_dir():
            yield from sorted(item for item in path.rglob("*") if item.is_file() and not item.is_symlink())
        elif path.is_file():
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


def _print(path: Path, digest: Digest, made: list[Made]) -> None:
    from orchestrator.cli.console import BOLD, DIM, fields, line
    from orchestrator.cli.text import moment_text
    from orchestrator.spec.placeholders import text_of

    line(str(path), BOLD)
    if not made:
        line(f"  no run made this ({digest})")
        return
    # The first run that is no rerun is the one that people mean.
    shown = sorted(made, key=lambda item: item.rerun_of is not None)[:RUNS_SHOWN]
    for item in shown:
        commit = (
            f"{item.commit[:12]}{' DIRTY (the patch is kept)' if item.dirty else ''}" if item.commit else ""
        )
        fields(
            [
                (
                    "run",
                    f"{item.run}  {item.state.value}"
                    + (f", rerun of {item.rerun_of}" if item.rerun_of else ""),
                ),
                ("job", item.job),
                ("as", item.path),
                ("made", f"{moment_text(item.created_at)} by {item.submitted_by}"),
                ("image", item.image),
                (
                    "params",
                    "  ".join(f"{name}={text_of(value)}" for name, value in sorted(item.params.items())),
                ),
                ("git", commit),
                ("verdicts", ", ".join(item.verdicts)),
            ]
        )
    if len(made) > len(shown):
        line(f"  and {len(made) - len(shown)} more runs; --json lists all", DIM)
