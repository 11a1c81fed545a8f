"""reprise rerun"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import (
    json_option,
    quiet_option,
    read_places,
    read_size,
    read_span,
    rehash_option,
)
from orchestrator.errors import ExitCode

if TYPE_CHECKING:
    from orchestrator.launch.session import Session
    from orchestrator.launch.submit.rerun_run import RerunRequest
    from orchestrator.launch.watch import Watch
    from orchestrator.view.forms.page import View


STOP = "--stop-at-difference"


class _Rerun(click.Command):
    """Takes `--stop-at-difference` without a value, too: click would take the next word for it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        words = [f"{STOP}=0" if word == STOP else word for word in args[:end]]
        return super().parse_args(ctx, words + args[end:])


@click.command("rerun", cls=_Rerun)
@click.argument("target", metavar="DIGEST|RUN")
@click.option(
    "--input",
    "inputs",
    metavar="NAME=PATH",
    multiple=True,
    callback=read_places,
    help="Where an input lies: a path, data:NAME or run:RUN/PATH; its digest must be the recorded one.",
)
@click.option("--against", metavar="RUN", help="Compare with this run, not with the first of the digest.")
@click.option("--memory", metavar="SIZE", callback=read_size, help="Another memory limit, such as 8GiB.")
@click.option("--shm", metavar="SIZE", callback=read_size, help="Another size of /dev/shm.")
@click.option("--timeout", metavar="TIME", callback=read_span, help="Another timeout, such as 90s or 2h.")
@click.option("--cpus", type=click.FloatRange(min=0, min_open=True), help="Another number of CPUs.")
@click.option("--gpu", metavar="MODEL", help="Run on a GPU of this model.")
@click.option("--on", metavar="PLACE", help="Run it elsewhere: worker, slurm, ray, or the name of a box.")
@click.option("--elsewhere", is_flag=True, help="Run it on any box with a worker but the original's.")
@click.option("--detach", is_flag=True, help="With --on or --elsewhere: do not wait for its end.")
@click.option("--predict", is_flag=True, help="Run nothing: should this box give the same bits?")
@click.option(
    "--replay",
    is_flag=True,
    help="Where the rerun differs, run once more: is it the script, or the boxes?",
)
@click.option(
    STOP,
    "stop_after",
    metavar="[=N]",
    type=click.IntRange(min=0),
    help="Stop it N steps after its first difference from the original; without N at once.",
)
@rehash_option
@quiet_option
@json_option
def command(
    target: str,
    inputs: dict[str, str],
    against: str | None,
    on: str | None,
    elsewhere: bool,
    detach: bool,
    predict: bool,
    replay: bool,
    stop_after: int | None,
    rehash: bool,
    quiet: bool,
    as_json: bool,
    **limits: Any,
) -> int:
    """Run a digest or a recorded run again and give a verdict.

    Only limits can be changed; what defines the result is in the digest. The verdict compares every
    output with the first successful run of the digest, or with --against. With --quiet only the verdict
    is printed, and with --replay what it comes from.

    --stop-at-difference compares the trace while the job runs, and cancels the run once training has parted
    from the original's: the verdict is the same as a whole rerun's, at once, and says what time was saved.
    It never stops for anything else: outputs, metrics and times do not count.

    --predict compares this box with the one that made the run, before any GPU time: an expectation, never
    a guarantee. The exit code is 0 where both boxes are of one bit class, else 4.

    JSON: `run`, `verdict` (null where there is nothing to compare with), `explanation`; with --replay
    also `replay`: `source` (`nothing`, `script`, `boxes`, `box_changed`, `unrecorded`, `inconclusive`),
    `summary`, `reasons`, `fields`, `soft`, `second` (null, or `run`, `against_original`,
    `against_rerun`). With --predict: `original`, `same`, `expected` (`bitwise`, `not promised`, `unknown`),
    `summary`, `reasons`, `fields` and `soft` (name -> [there, here]), `same_box`.
    """
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.submit.rerun_run import RerunRequest

    if predict and replay:
        raise click.UsageError("--predict runs nothing, so there is nothing to --replay")
    changed = {name: value for name, value in limits.items() if value is not None}
    request = RerunRequest(
        target=target,
        against=against,
        inputs=inputs,
        resources=changed,
        on=on,
        elsewhere=elsewhere,
        stop_after=stop_after,
    )
    if stop_after is not None and (predict or replay):
        raise click.UsageError(f"{STOP} ends a rerun early: --predict runs none, --replay needs whole ones")
    _refuse_odd_places(request, on is not None, detach, predict or replay)
    answer = _predict if predict else _detached if detach else _replay if replay else _rerun
    with opened() as session, watching(as_json, quiet) as watch:
        session.rehash = rehash
        view, code = answer(session, request, watch)
    print_view(view, as_json, quiet)
    return code


def _refuse_odd_places(request: RerunRequest, named: bool, detach: bool, here_only: bool) -> None:
    if named and request.elsewhere:
        raise click.UsageError("--on names the place, --elsewhere leaves it open: one of them")
    if detach and not request.remote:
        raise click.UsageError("--detach goes with --on or --elsewhere")
    if request.remote and here_only:
        raise click.UsageError("--predict and --replay speak of this box: neither goes with another place")


def _predict(session: Session, request: RerunRequest, _watch: Watch) -> tuple[View, ExitCode]:
    from orchestrator.launch.judge.predict_rerun import predict_rerun
    from orchestrator.view.verdict_view import prediction_view

    found = predict_rerun(session, request)
    return prediction_view(found), found.exit_code


def _detached(session: Session, request: RerunRequest, watch: Watch) -> tuple[View, ExitCode]:
    """The box that executes it gives the verdict; `show` prints it."""
    from orchestrator.launch.submit.rerun_run import rerun_detached
    from orchestrator.view.verdict_view import queued_rerun

    return queued_rerun(rerun_detached(session, request, watch)), ExitCode.OK


def _rerun(session: Session, request: RerunRequest, watch: Watch) -> tuple[View, ExitCode]:
    from orchestrator.cli.exit_codes import exit_code_of_rerun
    from orchestrator.launch.submit.rerun_run import rerun
    from orchestrator.view.verdict_view import rerun_view

    run, verdict = rerun(session, request, watch)
    original = session.record.run(verdict.original) if verdict else None
    return rerun_view(run, original, verdict), exit_code_of_rerun(run, verdict)


def _replay(session: Session, request: RerunRequest, watch: Watch) -> tuple[View, ExitCode]:
    """The exit code is that of the first verdict, unless the second run was cancelled."""
    from orchestrator.cli.exit_codes import exit_code_of_rerun
    from orchestrator.launch.judge.replay_rerun import replay
    from orchestrator.run.attempt_model import State
    from orchestrator.view.verdict_view import replay_view

    found = replay(session, request, watch)
    original = session.record.run(found.verdict.original) if found.verdict else None
    code = exit_code_of_rerun(found.run, found.verdict)
    if found.second is not None and found.second.run.state is State.CANCELLED:
        code = ExitCode.INTERRUPTED
    return replay_view(found, original), code
