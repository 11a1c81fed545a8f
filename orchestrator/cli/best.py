"""reprise best"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option


@click.command("best")
@click.argument("job")
@click.option("--metric", required=True, help="The metric's name, such as accuracy.")
@click.option("--minimize", is_flag=True, help="The smallest value is the best.")
@json_option
def command(job: str, metric: str, minimize: bool, as_json: bool) -> None:
    """Show the run of a job with the best value of a metric.

    Only runs that succeeded count.

    JSON: the run, as `submit` prints it.
    """
    from orchestrator.cli.box import opened
    from orchestrator.cli.document import print_document, run_document
    from orchestrator.cli.summary import print_next, print_run

    with opened(adopting=True) as session:
        line = session.record.best(job, metric, minimize=minimize)
        run = session.record.run(line.id)
    if as_json:
        print_document(run_document(run))
    else:
        print_run(run)
        print_next(run)
