"""reprise execute"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option, quiet_option


@click.command("execute", hidden=True)
@click.argument("run")
@quiet_option
@json_option
def command(run: str, quiet: bool, as_json: bool) -> int:
    """Carry one queued or abandoned run to its end.

    What `submit` does after it has recorded the run; other verbs start it for runs whose orchestrator
    died. Where another process executes the run, it waits for it.
    """
    from orchestrator.cli.box import opened
    from orchestrator.cli.console import line
    from orchestrator.cli.document import print_document, run_document
    from orchestrator.cli.progress import watching
    from orchestrator.cli.summary import exit_code_of, print_run
    from orchestrator.launch.execute import execute

    with opened() as session:
        name = session.record.find(run)
        with watching(as_json, quiet) as watch:
            record = execute(session, name, watch)
    if quiet:
        line(record.state.value)
    elif as_json:
        print_document(run_document(record))
    else:
        print_run(record)
    return exit_code_of(record)
