"""reprise execute"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option, quiet_option
from orchestrator.errors import ExitCode


@click.command("execute", hidden=True)
@click.argument("run")
@click.option("--attempt", type=click.IntRange(1), help="This attempt and no other; its log is not printed.")
@click.option("--gpus", help="The GPUs that it may use: UUIDs or NVML's indices, with commas.")
@click.option("--print-to", metavar="NAME", help="A file of the store's folder `launched`, in place of here.")
@quiet_option
@json_option
def command(
    run: str, attempt: int | None, gpus: str | None, print_to: str | None, quiet: bool, as_json: bool
) -> int:
    """Carry one queued or abandoned run to its end.

    What `submit` does after it has recorded the run, what executors launch on other boxes (with
    --attempt), and what other verbs start for runs whose orchestrator died. Where another process of this
    box executes the run, it waits for it.
    """
    from orchestrator.cli.exit_codes import exit_code_of
    from orchestrator.cli.terminal.console import line, print_view
    from orchestrator.cli.terminal.run_progress import steps_only, watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.execute.execute_attempt import execute
    from orchestrator.launch.execute.recover import remove_given_up
    from orchestrator.launch.executors import launch_log
    from orchestrator.settings import load
    from orchestrator.view.forms.page import View
    from orchestrator.view.runs.run_view import run_document, run_page

    if print_to is not None:
        launch_log.print_to(load().store, print_to)
    with opened() as session:
        name = session.record.find(run)
        if attempt is not None:
            watch = steps_only()
            remove_given_up(session, watch)
            record = execute(session, name, watch, attempt, gpus)
        elif gpus is not None:
            raise click.UsageError("--gpus goes with --attempt")
        else:
            with watching(as_json, quiet) as shown:
                record = execute(session, name, shown)
    if attempt is not None and not as_json and not quiet:
        line(f"run {record.id}: {record.state.value}")
    else:
        print_view(View(run_document(record), run_page(record), record.state.value), as_json, quiet)
    return exit_code_of(record) if record.state.final else ExitCode.INFRASTRUCTURE
