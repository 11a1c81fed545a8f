"""reprise best"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from orchestrator.launch.session import Session
    from orchestrator.record.run_record import Best
    from orchestrator.view.forms.page import View


@click.command("best")
@click.argument("job")
@click.option("--metric", required=True, help="The metric's name, such as accuracy, or loss.min.")
@click.option("--minimize", is_flag=True, help="The smallest value is the best.")
@click.option("--last", is_flag=True, help="Go by each run's last value, not by its best point.")
@click.option("--importance", is_flag=True, help="Say, too, how much each parameter decided.")
@json_option
def command(job: str, metric: str, minimize: bool, last: bool, importance: bool, as_json: bool) -> None:
    """Show the run of a job with the best value of a metric.

    The best point of a series counts, wherever in the run it lies. Only runs that succeeded count.

    JSON: the run, as `submit` prints it, and `best`: `metric`, `part` (`min`, `max`, `last`), `value`, `step`
    (null where the value came without one), `incomplete` (how many of the runs that were compared have
    metrics that could not all be read).

    With --importance the job's newest 1,000 runs are weighed: how much worse is the metric predicted where a
    parameter is not known? Below 20 runs, or where the parameters explain little, it cannot be told. JSON:
    `importance` with `told`, `why_not`, `r2`, `shares` (`names`, `share`, `signs`), and what was left out.
    """
    from orchestrator.cli.terminal.console import print_view, tell
    from orchestrator.cli.verb_session import opened
    from orchestrator.view.forms.human_units import incomplete_text
    from orchestrator.view.forms.page import Tone
    from orchestrator.view.runs.history_view import best_view

    with opened(adopting=True) as session:
        found = session.record.history.best(job, metric, minimize=minimize, last=last)
        run = session.record.run(found.line.id)
        view = best_view(found, run)
        if importance:
            view = _with_importance(session, view, job, found)
    print_view(view, as_json)
    if found.incomplete:
        tell(incomplete_text(found.incomplete, "the runs that were compared"), Tone.ODD)


def _with_importance(session: Session, view: View, job: str, best: Best) -> View:
    from orchestrator.analysis.importance.bounded_importance import bounded_importance
    from orchestrator.analysis.importance.trials_of_runs import gather, trials_filter
    from orchestrator.view.forms.page import Text
    from orchestrator.view.runs.importance_view import ImportanceQuestion, importance_view

    gathered = gather(session.record.history.lines(trials_filter(job)), best.metric, best.part)
    asked = ImportanceQuestion(metric=best.metric, part=best.part)
    more = importance_view(asked, gathered, bounded_importance(gathered.trials))
    return view._replace(
        document={**view.document, "importance": more.document},
        page=chain(view.page, [Text()], more.page),
    )
