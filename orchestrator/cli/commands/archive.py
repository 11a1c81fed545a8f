"""reprise archive"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option


@click.command("archive")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--restore", is_flag=True, help="Put them back instead.")
@json_option
def command(runs: tuple[str, ...], restore: bool, as_json: bool) -> None:
    """Put runs away: `history` and `best` leave them out, nothing is deleted.

    `history --archived` lists them; `show`, `origin`, `diff` and `rerun` take them as before.

    JSON: `archived` (whether they are now), `changed`, `unchanged` (ids).
    """
    from orchestrator.cli.terminal.console import line, print_document
    from orchestrator.cli.verb_session import opened
    from orchestrator.record.runs.author import person

    with opened() as session:
        found = list(dict.fromkeys(session.record.find(run) for run in runs))
        changed = session.record.annotations.archive(found, person(), restore=restore)
    unchanged = [run for run in found if run not in changed]
    if as_json:
        print_document({"archived": not restore, "changed": changed, "unchanged": unchanged})
        return
    word = "restored" if restore else "archived"
    for run in found:
        line(
            f"{run} {word}"
            if run in changed
            else f"{run} is {'not archived' if restore else 'archived already'}"
        )
