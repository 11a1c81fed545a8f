"""The two functions of `api` that write: submit a job, and run a digest again."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from orchestrator.api.run_handle import Run
from orchestrator.errors import RepriseError, UsageError
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent, Watch
from orchestrator.spec.jobfile.input_reference import input_place
from orchestrator.spec.jobfile.job_spec import Scalar
from orchestrator.spec.jobfile.placeholders import text_of
from orchestrator.typed_path import typed_path
from orchestrator.verdict.verdict_model import Verdict
from orchestrator.view.forms.clean_text import clean_line


class JudgedRerun(NamedTuple):
    run: Run
    verdict: Verdict | None  # None: nothing is known to compare with, or it was detached


class NotesToLogger(Silent):
    """Notes become warnings of the logger `reprise`. Python prints these to standard error where nobody set
    up logging.
    """

    def note(self, text: str) -> None:
        logging.getLogger("reprise").warning("%s", clean_line(text))


def submit(
    spec: str | Path,
    *,
    params: Mapping[str, Scalar] | None = None,
    seed: int | None = None,
    inputs: Mapping[str, str | Path] | None = None,
    require_clean: bool = False,
    key: str | None = None,
    reuse: bool = False,
    on: str | None = None,
    detach: bool = False,
    watch: Watch | None = None,
) -> Run:
    """Run a job file and record it, as `reprise submit` does; returns when the run is over.

    `params`, `seed` and `inputs` (paths, `data:NAME` or `run:RUN/PATH`) change those of the file; numbers may
    be NumPy's. `reuse` takes a run of the same digest that succeeded. `on`: another place (`worker`, `slurm`,
    `ray`, a box); with `detach` it returns when the run is queued there. `watch` hears of progress; without
    one, notes go to the logger `reprise`. A job that fails is a run whose state is `failed`, not an error.
    SpecError, UsageError or InfrastructureError where nothing was run.
    """
    from orchestrator.launch.dispatch.choose_place import wanted_on
    from orchestrator.launch.executors.kinds import stays_on_its_box
    from orchestrator.launch.submit.build_image import BuildRequest
    from orchestrator.launch.submit.submit_run import submit as submit_here
    from orchestrator.launch.submit.submit_run import submit_elsewhere

    local = on is None or stays_on_its_box(on)
    if detach and local:
        raise UsageError("detach goes with on: a run of this box ends with its process")
    request = BuildRequest(
        spec_path=typed_path(spec),
        params={name: _param_text(name, value) for name, value in (params or {}).items()},
        seed=seed,
        inputs={name: input_place(place, f"inputs[{name!r}]") for name, place in (inputs or {}).items()},
        require_clean=require_clean,
        key=key,
        reuse=reuse,
    )
    with _writing() as session:
        heard = watch or NotesToLogger()
        if local:
            record = submit_here(session, request, heard)
        else:
            wanted = wanted_on(session, on or "")
            record = submit_elsewhere(session, request, wanted, heard, detach=detach)
    return Run(session.settings, record)


def rerun(
    target: str | Run,
    *,
    against: str | Run | None = None,
    on: str | None = None,
    elsewhere: bool = False,
    inputs: Mapping[str, str | Path] | None = None,
    detach: bool = False,
    watch: Watch | None = None,
) -> JudgedRerun:
    """Run a digest, or a run's digest, again and compare, as `reprise rerun` does.

    `against`: the run to compare with; default: the first that succeeded with this digest. `inputs`: where
    inputs are, if not where they were (paths, `data:NAME` or `run:RUN/PATH`). A rerun that differs is a
    verdict, not an error.
    """
    from orchestrator.launch.submit.rerun_run import RerunRequest, rerun_detached
    from orchestrator.launch.submit.rerun_run import rerun as rerun_now

    request = RerunRequest(
        target=_name_of(target),
        against=None if against is None else _name_of(against),
        inputs={name: input_place(place, f"inputs[{name!r}]") for name, place in (inputs or {}).items()},
        on=on,
        elsewhere=elsewhere,
    )
    if detach and not request.remote:
        raise UsageError("detach goes with on or elsewhere: a run of this box ends with its process")
    with _writing() as session:
        heard = watch or NotesToLogger()
        if detach:
            record, verdict = rerun_detached(session, request, heard), None
        else:
            record, verdict = rerun_now(session, request, heard)
    return JudgedRerun(Run(session.settings, record), verdict)


def _name_of(target: str | Run) -> str:
    return target.id if isinstance(target, Run) else target


def _param_text(name: str, value: Scalar) -> str:
    """As `-p NAME=VALUE` gives it. A number of NumPy's counts as the Python number that it stands for."""
    plain = value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value
    if not isinstance(plain, bool | int | float | str):
        raise UsageError(f"params: {name} is {type(value).__name__}", "a number, a text, True or False")
    return text_of(plain)


@contextmanager
def _writing() -> Iterator[Session]:
    """This box, as a verb of the command line opens it: at the end the ledger is signed where that is due."""
    from orchestrator.audit.heads.signed_heads import sign_if_due
    from orchestrator.launch.home_permissions import close_home

    with Session.open() as session:
        for text in close_home(session.settings):
            warnings.warn(text, stacklevel=4)
        try:
            yield session
        finally:
            if "record" in vars(session) and session.record.wrote:
                try:
                    sign_if_due(session)
                except (RepriseError, OSError) as error:  # the run is recorded: its caller gets it
                    warnings.warn(f"no tree head was signed: {error}", stacklevel=4)
