"""reprise outputs"""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.options import PathType, json_option, new_path


@click.command("outputs")
@click.argument("run")
@click.option(
    "--to",
    "target",
    type=PathType(file_okay=False),
    callback=new_path,
    help="Copy them into this folder.",
)
@click.option("--path", "glob", help="Only paths that match; `*` matches any characters, `/` too.")
@click.option("--force", is_flag=True, help="With --to: replace files that are there already.")
@json_option
def command(run: str, target: Path | None, glob: str | None, force: bool, as_json: bool) -> None:
    """List a run's outputs, or copy them into a folder.

    Every byte is checked against its digest while it is copied; links in the folder are not followed. Links
    that the job made are made again where they stay in the folder; what is not brought back is listed.

    JSON: `run`, `outputs` (`path`, `status`, `size`, `digest`, `reason`, `target` of a link), `copied_to`,
    `not_restored` (`path`, `why`).
    """
    from fnmatch import fnmatchcase

    from orchestrator.cli.copy_outputs import copy_outputs, why_not
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.verb_session import find_run, opened
    from orchestrator.errors import UsageError
    from orchestrator.view.runs.outputs_view import copied_view, outputs_view

    with opened(adopting=True) as session:
        record = find_run(session, run)
        outputs = tuple(item for item in record.outputs if glob is None or fnmatchcase(item.path, glob))
        if glob is not None and not outputs:
            raise UsageError(
                f"no output of run {record.id} matches {glob!r}", f"`reprise outputs {record.id}` lists all"
            )
        if target is None:
            view = outputs_view(record.id, outputs)
        else:
            lost = {item.path: why for item in outputs if (why := why_not(item))}
            kept = tuple(item for item in outputs if item.path not in lost)
            size = copy_outputs(kept, target, session.store.open, force)
            view = copied_view(record.id, outputs, target, size, lost)
    print_view(view, as_json)
