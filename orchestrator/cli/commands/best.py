"""reprise best"""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option


@click.command("best")
@click.argument("job")
@click.option("--metric", required=True, help="The metric's name, such as accuracy, or loss.min.")
@click.option("--minimize", is_flag=True, help="The smallest value is the best.")
@click.option("--last", is_flag=True, help="By each run's last value, not by its best point.")
@json_option
def command(job: str, metric: str, minimize: bool, last: bool, as_json: bool) -> None:
    """Show the run of a job with the best value of a metric.

    The best point of a series counts, wherever in the run it lies. Only runs that succeeded count.

    JSON: the run, as `submit` prints it, and `best`: `metric`, `part` (`min`, `max`, `last`), `value`, `step`
    (null where the value came without one), `incomplete` (how many of the runs that were compared have
    metrics that could not all be read).
    """
    from orchestrator.cli.terminal.console import print_view, tell
    from orchestrator.cli.verb_session import opened
    from orchestrator.view.forms.human_units import incomplete_text
    from orchestrator.view.forms.page import Tone
    from orchestrator.view.runs.history_view import best_view

    with opened(adopting=True) as session:
        found = session.record.history.best(job, metric, minimize=minimize, last=last)
        run = session.record.run(found.line.id)
    print_view(best_view(found, run), as_json)
    if found.incomplete:
        tell(incomplete_text(found.incomplete, "the runs that were compared"), Tone.ODD)
