"""reprise tag"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option


@click.command("tag")
@click.argument("run")
@click.argument("tags", metavar="[TAG]...", nargs=-1)
@click.option("--remove", is_flag=True, help="Take these tags off instead.")
@json_option
def command(run: str, tags: tuple[str, ...], remove: bool, as_json: bool) -> None:
    """Put tags on a run, or list them; `history --tag TAG` finds the runs.

    JSON: `run`, `changed` (tags that were added or removed), `tags` (what it has now).
    """
    from orchestrator.cli.terminal.console import line, print_document
    from orchestrator.cli.verb_session import opened
    from orchestrator.errors import UsageError
    from orchestrator.record.runs.author import person

    if remove and not tags:
        raise UsageError("--remove: which tags?", "reprise tag RUN TAG... --remove")
    with opened() as session:
        found = session.record.find(run)
        changed = session.record.annotations.tag(found, tags, person(), remove=remove) if tags else []
        present = session.record.annotations.marks(found).tags
    if as_json:
        print_document({"run": found, "changed": changed, "tags": present})
    else:
        line(f"{found}: {', '.join(present) or 'no tags'}")
