"""reprise worker dispatch"""

from __future__ import annotations

import time

import click


@click.command("dispatch")
@click.option("--once", is_flag=True, help="One step for every open run, then end.")
def command(once: bool) -> None:
    """Push on runs that cluster engines execute, until interrupted.

    Launches what is queued for them, gives up what died, and launches it again. Commands that wait for a
    run, or look at one, do the same for it; this is for teams whose people all detach.
    """
    from orchestrator.cli.terminal.console import line
    from orchestrator.cli.terminal.run_progress import notes_only
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.execute.recover import dispatch

    with opened() as session:
        while True:
            for item in dispatch(session, notes_only()):
                line(f"run {item.run}: {item.state.value}, now {item.now.value if item.now else '?'}")
            if once:
                return
            time.sleep(5)
