"""reprise submit"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import json_option, quiet_option, spec_options
from orchestrator.cli.terminal.human_units import size_text
from orchestrator.errors import ExitCode

if TYPE_CHECKING:
    from orchestrator.launch.submit.build_image import BuildRequest


@click.command("submit")
@spec_options
@click.option("--key", help="Idempotency key: submitting the same key again is the same run.")
@click.option("--on", metavar="PLACE", help="Run it elsewhere: worker, slurm, ray, or the name of a box.")
@click.option("--detach", is_flag=True, help="With --on: do not wait for its end.")
@click.option("--twice", is_flag=True, help="Rerun it at once by its digest, and end with the verdict.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print the digest, layers, container and determinism settings; run nothing.",
)
@quiet_option
@json_option
def command(
    spec: Path,
    params: dict[str, str],
    seed: int | None,
    require_clean: bool,
    key: str | None,
    on: str | None,
    detach: bool,
    twice: bool,
    dry_run: bool,
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

    request = BuildRequest(spec_path=spec, params=params, seed=seed, require_clean=require_clean, key=key)
    if detach and (on is None or stays_on_its_box(on)):
        raise click.UsageError("--detach goes with --on: a run of this box ends with its command")
    if on is not None and (dry_run or twice):
        raise click.UsageError("--on goes with neither --dry-run nor --twice")
    if dry_run and twice:
        raise click.UsageError("--dry-run runs nothing, so there is nothing to run --twice")
    if dry_run:
        return _dry_run(request, quiet, as_json)
    return _twice(request, quiet, as_json) if twice else _submit(request, on, detach, quiet, as_json)


def _submit(request: BuildRequest, on: str | None, detach: bool, quiet: bool, as_json: bool) -> int:
    from orchestrator.cli.terminal.console import line
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.terminal.summary import exit_code_of
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.dispatch.choose_place import wanted_on
    from orchestrator.launch.executors.kinds import stays_on_its_box
    from orchestrator.launch.submit.submit_run import submit, submit_elsewhere

    with opened() as session:
        with watching(as_json, quiet) as watch:
            if on is None or stays_on_its_box(on):
                run = submit(session, request, watch)
            else:
                wanted = wanted_on(session, on)
                run = submit_elsewhere(session, request, wanted, watch, detach=detach)
        if quiet:
            line(run.id)
        elif as_json:
            from orchestrator.cli.json_document import print_document, run_document

            print_document(run_document(run))
        else:
            from orchestrator.cli.terminal.summary import print_next, print_run

            line()
            print_run(run)
            print_next(run)
    return exit_code_of(run) if run.state.final else ExitCode.OK


def _twice(request: BuildRequest, quiet: bool, as_json: bool) -> int:
    """A canary: a run that is not itself repeated by its own digest needs no other box to be doubted."""
    from orchestrator.cli.commands.rerun import judged_document, print_judged
    from orchestrator.cli.json_document import print_document, run_document
    from orchestrator.cli.terminal.console import line
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.terminal.summary import exit_code_of, exit_code_of_rerun, print_next, print_run
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.submit.rerun_run import RerunRequest, rerun
    from orchestrator.launch.submit.submit_run import submit
    from orchestrator.run.attempt_model import State

    aloud = not quiet and not as_json
    document: dict[str, Any] = {"rerun": None, "verdict": None, "explanation": []}
    with opened() as session:
        with watching(as_json, quiet) as watch:
            run = submit(session, request, watch)
        code, word = exit_code_of(run), run.state.value
        if aloud:
            line()
            print_run(run)
        if run.state is State.SUCCEEDED:
            again = RerunRequest(target=run.image, against=run.id)
            if aloud:
                line()
            with watching(as_json, quiet) as watch:
                second, verdict = rerun(session, again, watch)
            code = exit_code_of_rerun(second, verdict)
            word = verdict.outcome.value if verdict else second.state.value
            if aloud:
                print_judged(second, run, verdict)
            document = judged_document(second, run, verdict)
            document["rerun"] = document.pop("run")
        elif aloud:
            print_next(run)
    if quiet:
        line(word)
    elif as_json:
        print_document({"run": run_document(run)} | document)
    return code


def _dry_run(request: BuildRequest, quiet: bool, as_json: bool) -> int:
    """The plan as data: nothing is loaded, recorded or started."""
    from orchestrator.cli.json_document import jsonable, print_document
    from orchestrator.cli.terminal import console
    from orchestrator.cli.terminal.image_lines import image_document, print_layers, print_program
    from orchestrator.cli.terminal.run_progress import watching
    from orchestrator.cli.verb_session import opened
    from orchestrator.launch.submit.submit_run import dry_run

    with opened() as session, watching(as_json, quiet) as watch:
        found = dry_run(session, request, watch)
    image = found.built.image
    if as_json:
        document = {"image": image_document(image), "plan": found.plan, "levers": found.settings}
        print_document(document | {"resources": found.built.spec.resources})
        return ExitCode.OK
    if not quiet:
        print_program(image.program)
        console.line()
        print_layers(image.layers)
        console.line("\ncontainer", console.BOLD)
        console.fields(plan_fields(jsonable(found.plan)), indent=2)
        console.line("\ndeterminism settings", console.BOLD)
        console.fields(sorted(found.settings.items()), indent=2)
        console.line()
    console.line(image.digest)
    return ExitCode.OK


def plan_fields(plan: dict[str, Any]) -> list[tuple[str, str]]:
    """A plan's settings as names and words; what is not set is left out."""
    sizes = {"memory", "shm", "file_size"}
    words = []
    for name, value in plan.items():
        if name in sizes:
            text = size_text(value)
        elif name == "mounts":
            text = "  ".join(
                f"{item['source']}:{item['target']}{':ro' * item['read_only']}" for item in value
            )
        elif isinstance(value, dict):
            text = "  ".join(f"{key}={item}" for key, item in sorted(value.items()))
        elif isinstance(value, list):
            text = " ".join(map(str, value))
        else:
            text = "" if value is None else str(value)
        words.append((name.replace("_", " "), text))
    return words
