"""reprise init"""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.options import PathType, json_option


@click.command("init")
@click.argument("target", metavar="[SCRIPT|FOLDER]", type=PathType(), default=Path())
@click.option("-y", "--yes", is_flag=True, help="Write the files without asking.")
@click.option("--dry-run", is_flag=True, help="Print the files; write nothing.")
@json_option
def command(target: Path, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Draft a job file for a script or a folder that is there.

    It is read, never imported or run: options of its command line become parameters, data beside it becomes
    inputs, what it imports is looked for. Nothing that is there is changed; where a file of the same name
    is there, nothing is written at all.

    JSON: `folder`, `framework`, `files` (name to text), `written`, `command`, `params`, `seed`,
    `inputs`, `requirements`, `notes`, `next`.
    """
    import sys

    from orchestrator.cli.terminal.console import print_view, show
    from orchestrator.errors import UsageError
    from orchestrator.launch.project_survey.draft_project import draft_project
    from orchestrator.launch.project_survey.survey_project import project_place
    from orchestrator.launch.project_survey.write_drafts import refuse_existing_drafts, write_drafts
    from orchestrator.settings import load
    from orchestrator.view.init_view import draft_page, init_view

    settings, ask = load(), not (yes or dry_run)
    if ask and (as_json or not (sys.stdin.isatty() and sys.stdout.isatty())):
        project_place(target)  # a wrong path is said first
        raise UsageError(
            "init asks before it writes, and there is no terminal to ask on",
            "--yes writes the files, --dry-run prints them",
        )
    drafted = draft_project(settings, target, writing=not dry_run)
    if not dry_run:
        refuse_existing_drafts(drafted.folder, drafted.files)
    if ask:
        show(draft_page(drafted))
        if not click.confirm("Write these files?", default=True):
            raise click.Abort
    written = not dry_run and (yes or ask)
    if written:
        write_drafts(drafted.folder, drafted.files)
    print_view(init_view(drafted, written, shown=ask), as_json)
