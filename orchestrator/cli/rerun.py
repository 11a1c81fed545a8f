"""reprise rerun"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import json_option, quiet_option, read_paths, read_size, read_span

if TYPE_CHECKING:
    from orchestrator.record.model import RunRecord
    from orchestrator.verdict.model import Verdict


@click.command("rerun")
@click.argument("target", metavar="DIGEST|RUN")
@click.option(
    "--input",
    "inputs",
    metavar="NAME=PATH",
    multiple=True,
    callback=read_paths,
    help="Where an input lies on this box; its digest must be the recorded one.",
)
@click.option("--against", metavar="RUN", help="Compare with this run, not with the first of the digest.")
@click.option("--memory", metavar="SIZE", callback=read_size, help="Another memory limit, such as 8GiB.")
@click.option("--shm", metavar="SIZE", callback=read_size, help="Another size of /dev/shm.")
@click.option("--timeout", metavar="TIME", callback=read_span, help="Another timeout, such as 90s or 2h.")
@click.option("--cpus", type=click.FloatRange(min=0, min_open=True), help="Another number of CPUs.")
@click.option("--gpu", metavar="MODEL", help="Run on a GPU of this model.")
@quiet_option
@json_option
def command(
    target: str,
    inputs: dict[str, Path],
    against: str | None,
    quiet: bool,
    as_json: bool,
    **limits: Any,
) -> int:
    """Run a digest or a recorded run again and give a verdict.

    Only limits can be changed; what defines the result is in the digest. The verdict compares every
    output with the first successful run of the digest, or with --against. With --quiet only the verdict
    is printed.

    JSON: `run`, `verdict` (null where there is nothing to compare with), `explanation`.
    """
    from orchestrator.cli.box import opened
    from orchestrator.cli.progress import watching
    from orchestrator.cli.summary import exit_code_of_rerun
    from orchestrator.launch.rerun import RerunRequest, rerun

    changed = {name: value for name, value in limits.items() if value is not None}
    request = RerunRequest(target=target, against=against, inputs=inputs, resources=changed)
    with opened() as session:
        with watching(as_json, quiet) as watch:
            run, verdict = rerun(session, request, watch)
        original = session.record.run(verdict.original) if verdict else None
    _print(run, original, verdict, quiet, as_json)
    return exit_code_of_rerun(run, verdict)


def _print(
    run: RunRecord, original: RunRecord | None, verdict: Verdict | None, quiet: bool, as_json: bool
) -> None:
    from orchestrator.cli.console import line
    from orchestrator.cli.document import print_document, run_document
    from orchestrator.cli.summary import explanation_of, print_next, print_run, print_verdict

    explanation = explanation_of(verdict, original, run)
    if quiet:
        line(verdict.outcome.value if verdict else run.state.value)
    elif as_json:
        print_document({"run": run_document(run), "verdict": verdict, "explanation": explanation})
    else:
        line()
        print_run(run)
        if verdict is None:
            print_next(run)
        else:
            print_verdict(verdict, explanation)
