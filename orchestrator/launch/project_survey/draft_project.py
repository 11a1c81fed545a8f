"""From what a survey found to the files of `reprise init`: job file, patterns, locked requirements."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.image.base.base_pins import default_flavour, list_pins
from orchestrator.launch.project_survey.draft_lock import DraftedLock, draft_lock
from orchestrator.launch.project_survey.ignore_patterns import ignore_text
from orchestrator.launch.project_survey.job_text import demanded, job_text
from orchestrator.launch.project_survey.package_needs import PackageNeeds
from orchestrator.launch.project_survey.survey_project import Survey, survey_project
from orchestrator.launch.project_survey.write_drafts import refuse_existing_drafts
from orchestrator.message_wording import listed
from orchestrator.settings import Settings
from orchestrator.spec.jobfile.job_spec import JobSpec
from orchestrator.spec.jobfile.read_job import FILE_NAME, read_spec_text
from orchestrator.spec.source.source_selection import IGNORE_FILE

_WITH_CUDA = frozenset({"torchvision", "torchaudio", "triton"})  # built against a PyTorch: of the cuda base
_NOTED = 10  # patterns that one note lists
_BASE = {"torch": "", "numpy": ""}  # what every flavour has


@dataclass(frozen=True)
class DraftedProject:
    folder: Path
    survey: Survey
    spec: JobSpec  # as the strict reader reads the draft
    files: Mapping[str, str]  # name -> text, in the order in which they are written
    notes: tuple[str, ...]
    next: tuple[str, ...]  # commands


def draft_project(settings: Settings, target: Path, writing: bool = False) -> DraftedProject:
    """Nothing is written, and nothing of the project is run. UsageError: there is nothing to run.

    With `writing`, UsageError as well for a job file that is there, before packages are looked for.
    SpecError would be a bug: the draft is read by the reader of job files before anybody sees it.
    """
    made = {pin.name: pin.python.packages for pin in list_pins(settings)}
    default = default_flavour(settings)
    survey = survey_project(target, _provided(made.get(default)))
    if writing:
        refuse_existing_drafts(survey.folder, (FILE_NAME,))
    base, reason = _base(default, made, survey.hints.imports)
    lock = draft_lock(settings, survey.folder, _needs(survey, base, made), base)
    if lock.base is not None:  # the requirements clash with this base, and not with that one
        reason = "" if lock.base == default else f"fits the requirements, which {base} does not"
        base = lock.base
        lock = draft_lock(settings, survey.folder, _needs(survey, base, made), base)
    if lock.make is not None:
        base, reason = _own_name(lock.make), "to be made: no base of this box fits the requirements"
    draft = replace(
        survey.draft,
        base=base if reason else None,
        base_reason=reason,
        requirements=lock.requirements,
        requirements_pending=lock.pending,
    )
    survey = replace(survey, draft=draft)
    files = lock.files | draft_files(survey)  # the job file stays the last one
    notes = [*survey.notes, *lock.notes]
    missing = demanded(draft)
    if missing:
        notes.append(f"the script demands {', '.join(missing)}: give it in params, or with -p {missing[0]}=…")
    if survey.ignored and IGNORE_FILE not in files:
        named = listed(survey.ignored, _NOTED)
        notes.append(f"{IGNORE_FILE} is there and stays as it is; it should leave out {named}")
    return DraftedProject(
        folder=survey.folder,
        survey=survey,
        spec=_checked(survey, missing),
        files=files,
        notes=tuple(notes),
        next=_next(survey, base, made, lock),
    )


def _own_name(make: str) -> str:
    """A name for a base that is to be made: `torch-2-9-1` for one with `--requirement 'torch==2.9.1'`."""
    asked = make.partition("--requirement ")[2].partition(" --requirement")[0]
    return "-".join(re.findall(r"[a-z0-9]+", asked.lower()))[:40].rstrip("-") or "own"


def _needs(survey: Survey, base: str, made: Mapping[str, Mapping[str, str]]) -> PackageNeeds:
    """The packages that the code needs, without those of the base."""
    has = made.get(base, _WITH_CUDA if base == "cuda" else ())
    return replace(survey.needs, missing=tuple(name for name in survey.needs.missing if name not in has))


def _checked(survey: Survey, missing: Iterable[str]) -> JobSpec:
    """The draft as the strict reader reads it; a lock that is not written yet cannot be looked for."""
    draft = survey.draft
    if draft.requirements is not None and not (survey.folder / draft.requirements).is_file():
        draft = replace(draft, requirements=None)
    return read_spec_text(job_text(draft), survey.folder / FILE_NAME, dict.fromkeys(missing, "…"))


def draft_files(survey: Survey) -> dict[str, str]:
    """Name to text. The job file is the last one: with it, the job is there."""
    files: dict[str, str] = {}
    if survey.ignored and not os.path.lexists(survey.folder / IGNORE_FILE):
        files[IGNORE_FILE] = ignore_text(survey.ignored)
    return files | {FILE_NAME: job_text(survey.draft)}


def _provided(packages: Mapping[str, str] | None) -> Mapping[str, str]:
    return _BASE if packages is None else packages


def _base(default: str, made: Mapping[str, object], imports: Iterable[str]) -> tuple[str, str]:
    """The base, and why it is another than the default one: empty where it is the default."""
    vision = sorted(_WITH_CUDA.intersection(imports))
    if vision:
        return "cuda", "" if default == "cuda" else f"has {vision[0]}; it runs without a GPU, too"
    if default not in made and "cpu" in made:
        return "cpu", f"made on this box; the default, {default}, is not"
    return default, ""


def _next(survey: Survey, base: str, made: Mapping[str, object], lock: DraftedLock) -> tuple[str, ...]:
    file = FILE_NAME if survey.folder.resolve() == Path.cwd() else str(survey.folder / FILE_NAME)
    given = "".join(f" -p {name}=…" for name in demanded(survey.draft))
    build: tuple[str, ...] = () if base in made else (f"reprise base build {base}",)
    if lock.make is not None:
        build = (lock.make.replace(" NAME ", f" {base} "), f"reprise base build {base}")
    locking = (f"reprise lock {shlex.quote(file)}",) if lock.pending else ()
    return (*build, *locking, f"reprise submit {shlex.quote(file)}{given}")
