"""reprise submit"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import json_option, quiet_option, rehash_option, spec_options
from orchestrator.errors import ExitCode

if TYPE_CHECKING:
    from orchestrator.launch.submit.build_image import BuildRequest


@click.command("submit")
@spec_options
@click.option("--key", help="Idempotency key: submitting the same key again is the same run.")
@click.option("--reuse", is_flag=True, help="Take a run of the same digest that succeeded, if there is one.")
@click.option("--on", metavar="PLACE", help="Run it elsewhere: worker, slurm, ray, or the name of a box.")
@click.option("--detach", is_flag=True, help="With --on: do not wait for its end.")
@click.option("--twice", is_flag=True, help="Rerun it at once by its digest, and end with the verdict.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print the digest, layers, container and determinism settings; run nothing.",
)
@rehash_option
@quiet_option
@json_option
def command(
    spec: Path,
    params: dict[str, str],
    seed: int | None,
    inputs: dict[str, str],
    require_clean: bool,
    key: str | None,
    reuse: bool,
    on: str | None,
    detach: bool,
    twice: bool,
    dry_run: bool,
    rehash: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Run a job spec and record everything about it.

    Progress goes to standard error. The job's log and the summary go to standard output; with --json
    the log goes to standard error and the run is one document; with --quiet only the run's id is
    printed. Ctrl-C stops the job, wherever it runs, and records the run as cancelled. The exit code is
    the run's, or with --detach 0 once it is queued; with --twice it is the verdict's, and --quiet prints
    the verdict's word.

    JSON: as `show`, without `verdicts`; of a dry run: `image`, `plan`, `levers`, `resources`; with
    --twice: `run`, `rerun` (null where the run did not succeed), `verdict`, `explanation`.
    """
    from orchestrator.launch.executors.kinds import stays_on_its_box
    from orchestrator.launch.submit.build_image import BuildRequest

    request = BuildRequest(
        spec_path=spec,
        params=params,
        seed=seed,
        inputs=inputs,
        require_clean=require_clean,
        key=key,
        reuse=reuse,
    )
    if detach and (on is None or stays_on_its_box(on)):
        raise click.UsageError("--detach goes with --on: a run of this box ends with its command")
    if on is not None and (dry_run or twice):
        raise click.UsageError("--on goes with neither --dry-run nor --twice")
    if dry_run and twice:
        raise click.UsageError("--dry-run runs nothing, so there is nothing to run --twice")
    if dry_run:
        return _dry_run(request, rehash, quiet, as_json)
    if twice:
        return _twice(request, rehash, quiet, as_json)
    return _submit(request, on, detach, rehash, quiet, as_json)


def _submit(
    request: BuildRequest, on: str | None, detach: bool, rehash: bool, quiet: bool, as_json: bool
) -> int:
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.dispatch.choose_place import wanted_on
    from orchestrator.launch.executors.kinds import stays_on_its_box
    from orchestrator.launch.submit.submit_run import submit, submit_elsewhere

    with opened() as session:
        session.rehash = rehash
        with watching(as_json, quiet) as watch:
            if on is None or stays_on_its_box(on):
                run = submit(session, request, watch)
            else:
                wanted = wanted_on(session, on)
                run = submit_elsewhere(session, request, wanted, watch, detach=detach)
        from orchestrator.cli.exit_codes import exit_code_of  # imported while the job ran
        from orchestrator.view.runs.run_view import run_view

        print_view(run_view(run), as_json, quiet)
    return exit_code_of(run) if run.state.final else ExitCode.OK


def _twice(request: BuildRequest, rehash: bool, quiet: bool, as_json: bool) -> int:
    """Run the job and rerun it at once: if the two differ, the script itself does not repeat its bits."""
    from orchestrator.cli.exit_codes import exit_code_of, exit_code_of_rerun
    from orchestrator.cli.terminal.console import print_view, show
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.submit.rerun_run import RerunRequest, rerun
    from orchestrator.launch.submit.submit_run import submit
    from orchestrator.run.attempt_model import State
    from orchestrator.view.forms.page import Text
    from orchestrator.view.runs.run_view import run_page
    from orchestrator.view.verdict_view import twice_view

    second = verdict = None
    with opened() as session:
        session.rehash = rehash
        with watching(as_json, quiet) as watch:
            run = submit(session, request, watch)
        succeeded = run.state is State.SUCCEEDED
        if not quiet and not as_json:
            show((Text(), *run_page(run), *([Text()] if succeeded else [])))
        if succeeded:
            with watching(as_json, quiet) as watch:
                second, verdict = rerun(session, RerunRequest(target=run.image, against=run.id), watch)
    print_view(twice_view(run, second, verdict), as_json, quiet)
    return exit_code_of(run) if second is None else exit_code_of_rerun(second, verdict)


def _dry_run(request: BuildRequest, rehash: bool, quiet: bool, as_json: bool) -> int:
    """Print what would be run. Nothing is loaded, recorded or started."""
    from orchestrator.cli.terminal.console import print_view
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.submit.submit_run import dry_run
    from orchestrator.view.image_view import dry_run_view

    with opened() as session, watching(as_json, quiet) as watch:
        session.rehash = rehash
        found = dry_run(session, request, watch)
    print_view(dry_run_view(found), as_json, quiet)
    return ExitCode.OK
