"""reprise worker recover"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option


@click.command("recover")
@click.option("--dry-run", is_flag=True, help="Only list what would be finished and removed.")
@json_option
def command(dry_run: bool, as_json: bool) -> None:
    """Finish runs whose orchestrator died; remove what is left over.

    Takes over each such run and waits for its end, gives the verdicts that reruns of this box lack, then
    removes containers and folders of runs that are over and of attempts that were given up. Runs of a
    cluster are launched again where their process died. What the record does not know is left alone.

    JSON: `adopted` (`run`, `state`, `now`), `judged` (`run`, `outcome`), `leftovers` (`kind`, `name`,
    `run`, `removed`, `why` not).
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.terminal.run_progress import notes_only
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.execute.recover import (
        Adopted,
        adopt,
        dispatch,
        judge_unjudged,
        orphans,
        remove_leftovers,
    )
    from orchestrator.view.box_view import recovery_view

    with opened() as session:
        if dry_run:
            adopted = [Adopted(run=item.id, state=item.state, now=None) for item in orphans(session)]
        else:
            adopted = [*adopt(session, notes_only(), wait=True), *dispatch(session, notes_only())]
        judged = list(judge_unjudged(session, notes_only(), dry_run=dry_run))
        leftovers = remove_leftovers(session, dry_run=dry_run)
    print_view(recovery_view(adopted, judged, leftovers), as_json)
