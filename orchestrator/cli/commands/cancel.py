"""reprise cancel"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option


@click.command("cancel")
@click.argument("run")
@json_option
def command(run: str, as_json: bool) -> None:
    """Stop a run.

    Its executor ends the job (TERM, then KILL) and keeps what it has written. A run that is over stays
    as it is.

    JSON: `run`, `state`.
    """
    from orchestrator.cli.terminal.console import line, print_document
    from orchestrator.cli.terminal.run_progress import notes_only
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.execute.cancel_run import cancel

    with opened() as session:
        record = cancel(session, session.record.find(run), notes_only())
    if as_json:
        print_document({"run": record.id, "state": record.state})
    else:
        line(f"run {record.id}: {record.state.value}")
