"""reprise lineage"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option


@click.command("lineage")
@click.argument("run")
@json_option
def command(run: str, as_json: bool) -> None:
    """Show where a run's inputs came from, and what was made of its outputs.

    By content: an output is an input of another run where it has the same bytes and its run was submitted
    before. Files in an input folder count, too. Empty files do not. An input that was asked for as
    run:RUN/PATH came from that run, whichever others left the same bytes.

    JSON: `run`, `runs` (each run by its id), `above` and `below` (links: `maker`, `user`, `input`, `matches`
    with `output`, `file`, `digest`; `count`, `also`, `asked`), `unmade` (inputs of which nothing is known to
    be an output: `run`, `input`, `digest`, `data`, `folder`, `files`, `looked_at`), `cut`.
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.verb_session import opened
    from orchestrator.view.runs.lineage_view import lineage_view

    with opened() as session:
        found = session.record.history.lineage(session.record.find(run))
    print_view(lineage_view(found), as_json)
