"""reprise predict"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option, quiet_option

if TYPE_CHECKING:
    from orchestrator.launch.submit.rerun_run import RerunRequest
    from orchestrator.verdict.predict_bits import Prediction


@click.command("predict")
@click.argument("target", metavar="DIGEST|RUN")
@click.option("--against", metavar="RUN", help="The run to match, not the first of the digest.")
@click.option("--gpu", metavar="MODEL", help="As if the rerun asked for a GPU of this model.")
@quiet_option
@json_option
def command(target: str, against: str | None, gpu: str | None, quiet: bool, as_json: bool) -> int:
    """Say whether this box should give the bits of an earlier run.

    Compares this box with the one that made the run, before any GPU time: nothing is built or started.
    It is an expectation, never a guarantee. The exit code is 0 where both boxes are of one bit class,
    else 4.

    JSON: `original`, `same`, `expected` (`bitwise`, `not promised`, `unknown`), `summary`, `reasons`,
    `fields` and `soft` (name -> [there, here]), `same_box`.
    """
    from orchestrator.launch.submit.rerun_run import RerunRequest

    resources = {} if gpu is None else {"gpu": gpu}
    return foretell(RerunRequest(target=target, against=against, resources=resources), quiet, as_json)


def foretell(request: RerunRequest, quiet: bool, as_json: bool) -> int:
    """What `predict`, and `rerun --predict`, print; the exit code."""
    from orchestrator.cli.json_document import print_document
    from orchestrator.cli.terminal.console import line
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.judge.predict_rerun import predict_rerun

    with opened() as session:
        found = predict_rerun(session, request)
    if as_json:
        print_document(found)
    elif quiet:
        line(found.expected.value)
    else:
        print_prediction(found)
    return found.exit_code


def print_prediction(found: Prediction) -> None:
    from orchestrator.cli.terminal import console
    from orchestrator.verdict.predict_bits import Expected

    words = {
        Expected.BITWISE: ("EQUAL BITS EXPECTED", console.GOOD),
        Expected.NOT_PROMISED: ("EQUAL BITS NOT PROMISED", console.ODD),
        Expected.UNKNOWN: ("NOT KNOWN", console.ODD),
    }
    console.line(*words[found.expected])
    console.line(f"  {found.summary}")
    for reason in found.reasons:
        console.line(f"  {reason}")
    rows = [
        (name, _word(there), _word(here), weight)
        for weight, fields in (("hard", found.fields), ("soft", found.soft))
        for name, (there, here) in fields.items()
    ]
    if rows:
        console.line()
        console.table(("field", "there", "here", "reason"), rows)


def _word(value: object) -> str:
    return "-" if value is None else str(value)
