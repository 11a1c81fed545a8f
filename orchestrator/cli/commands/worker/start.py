"""reprise worker start"""

from __future__ import annotations

import socket

import click


@click.command("start")
@click.option("--name", help="The name that people see; default: the host's name.")
@click.option(
    "--slots",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Runs without a GPU at a time; runs with GPUs get one per free GPU.",
)
@click.option(
    "--lease",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    hidden=True,  # all workers of a record must agree on it; tests are in a hurry
)
def command(name: str | None, slots: int, lease: float) -> None:
    """Take queued runs that this box fits.

    Runs come from `reprise submit --on worker`, or `--on` this box's name. TERM or Ctrl-C lets it finish
    what it has and take nothing new; a second one cancels what it has. Killed and started again, it
    carries its runs on.
    """
    from orchestrator.cli.terminal.run_progress import steps_only
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.workers.worker_loop import Worker

    with opened() as session:
        Worker(session, steps_only(), name=name or socket.gethostname(), slots=slots, lease=lease).work()
