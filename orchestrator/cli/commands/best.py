"""reprise best"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from orchestrator.record.run_record import Best

_WORDS = {"min": "least", "max": "greatest", "last": "last"}


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
    from orchestrator.cli.json_document import print_document, run_document
    from orchestrator.cli.terminal.console import BOLD, ODD, line, tell
    from orchestrator.cli.terminal.human_units import incomplete_text
    from orchestrator.cli.terminal.summary import print_next, print_run
    from orchestrator.cli.verb_session import opened

    with opened(adopting=True) as session:
        found = session.record.history.best(job, metric, minimize=minimize, last=last)
        run = session.record.run(found.line.id)
    if as_json:
        said = {name: getattr(found, name) for name in ("metric", "part", "value", "step", "incomplete")}
        print_document(run_document(run) | {"best": said})
    else:
        line(best_text(found), BOLD)
        line()
        print_run(run)
        print_next(run)
    if found.incomplete:
        tell(incomplete_text(found.incomplete, "the runs that were compared"), ODD)


def best_text(found: Best) -> str:
    """`best: greatest accuracy 0.93 at step 40; its last is 0.88 at step 100`."""
    from orchestrator.cli.terminal.human_units import number_text, step_text

    name = found.metric
    value = f"{_WORDS[found.part]} {name} {number_text(found.value)}{step_text(found.step)}"
    last = found.line.metrics[name]
    if found.part == "last" or repr(last) == repr(found.value):
        return f"best: {value}"
    at = step_text(found.line.reached[name].last_step)
    return f"best: {value}; its last is {number_text(last)}{at}"
