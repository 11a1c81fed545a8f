"""reprise worker recover"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option


@click.command("recover")
@click.option("--dry-run", is_flag=True, help="Only list what would be finished and removed.")
@json_option
def command(dry_run: bool, as_json: bool) -> None:
    """Finish runs whose orchestrator died; remove what is left over.

    Takes over each such run and waits for its end, then removes containers and folders of runs that
    are over and of attempts that were given up. Runs of a cluster are launched again where their process
    died. What the record does not know is left alone.

    JSON: `adopted` (`run`, `state`, `now`), `leftovers` (`kind`, `name`, `run`, `removed`, `why` not).
    """
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import line, table
    from orchestrator.cli.terminal.run_progress import notes_only
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.execute.recover import Adopted, adopt, dispatch, orphans, sweep

    with opened() as session:
        if dry_run:
            adopted = [Adopted(run=item.id, state=item.state, now=None) for item in orphans(session)]
        else:
            adopted = [*adopt(session, notes_only(), wait=True), *dispatch(session, notes_only())]
        leftovers = sweep(session, dry_run=dry_run)
    if as_json:
        print_document({"adopted": adopted, "leftovers": leftovers})
        return
    if not adopted and not leftovers:
        line("nothing to do")
    if adopted:
        table(("run", "was", "is"), [(item.run, item.state, item.now or "orphaned") for item in adopted])
    if leftovers:
        removed = [
            (item.kind, item.name, item.run, "yes" if item.removed else item.why or "no")
            for item in leftovers
        ]
        table(("leftover", "name", "run", "removed"), removed)
