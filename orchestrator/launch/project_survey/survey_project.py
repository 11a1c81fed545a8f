"""From a folder or a script to the draft of its job."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.launch.project_survey.code_hints import CodeHints, hints_of
from orchestrator.launch.project_survey.data_beside_code import FoundData, Surroundings, find_data, inside
from orchestrator.launch.project_survey.entry_point import (
    EntryPoint,
    find_entry,
    notebook_error,
    project_table,
)
from orchestrator.launch.project_survey.ignore_patterns import ignore_patterns
from orchestrator.launch.project_survey.interfaces.read_interface import read_interface
from orchestrator.launch.project_survey.interfaces.script_options import (
    ScriptInterface,
    literal_words,
    plain_argument,
)
from orchestrator.launch.project_survey.job_text import JobDraft
from orchestrator.launch.project_survey.package_needs import PackageNeeds, find_needs
from orchestrator.launch.project_survey.project_files import ProjectFiles, look_at
from orchestrator.launch.project_survey.python_source import parse_refusal, undeclared_encoding
from orchestrator.spec.jobfile.problems import shorten

_MARKERS = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "uv.lock",
    "environment.yml",
    "requirements.txt",
    ".git",
)
_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_NOTED = 10  # files and folders that are left out, each with a note of its own


@dataclass(frozen=True)
class Survey:
    """What was found, and the draft of it."""

    folder: Path
    draft: JobDraft
    needs: PackageNeeds
    surroundings: Surroundings
    ignored: tuple[str, ...]  # patterns of what is not source
    hints: CodeHints
    notes: tuple[str, ...]


def survey_project(target: Path, provided: Mapping[str, str]) -> Survey:
    """`target`: a script or a folder; `provided`: the base's packages. UsageError: nothing to run there."""
    folder, script = project_place(target)
    files = look_at(folder)
    if script is not None and script not in files.sizes:
        raise UsageError(f"{target} is not a plain file", "name the script itself, not a link to it")
    entry = find_entry(files, script)
    _refuse_unreadable(files, entry)
    interface = read_interface(entry, files)
    hints = hints_of(entry.modules, entry.script)
    defaults = [option.value for option in interface.options if isinstance(option.value, str)]
    surroundings = find_data(files, defaults)
    needs = find_needs(files, entry.modules, hints.imports, provided)
    draft = _draft(files, entry, interface, surroundings, hints)
    notes = tuple(_notes(files, entry, interface, surroundings, hints))
    ignored = tuple(ignore_patterns(files, surroundings))
    return Survey(folder, draft, needs, surroundings, ignored, hints, notes)


def _refuse_unreadable(files: ProjectFiles, entry: EntryPoint) -> None:
    """UsageError for a script that Python would not run. One that is only too large is taken, with a note."""
    path, data = files.folder / entry.script, files.data(entry.script)
    if data is None and not files.too_large(entry.script):
        raise UsageError(f"{path} cannot be read", "check its permissions")
    if data is None:
        return
    foreign = undeclared_encoding(data)
    if foreign is not None:
        line, byte = foreign
        raise UsageError(
            f"{path}:{line}: not UTF-8 (byte 0x{byte:02x}), and no line says in which encoding it is",
            "save it as UTF-8, or make its first line say the encoding, such as: # -*- coding: latin-1 -*-",
        )
    if entry.modules.tree(entry.script) is None:
        at, reason = parse_refusal(data)
        raise UsageError(
            f"{path}{f':{at}' if at else ''}: not Python that can be parsed: {shorten(reason, 200)}",
            f"does Python {sys.version_info.major}.{sys.version_info.minor}, which reads it here, take it? "
            "python -m py_compile tries that",
        )


def project_place(target: Path) -> tuple[Path, str | None]:
    """The project's folder, and the script in it where one was named. UsageError: the path is neither."""
    try:
        if target.is_dir():
            return target, None
        if not target.exists():
            raise UsageError(f"no such script or folder: {target}", "check the path")
        parent = target.parent.resolve()
    except OSError as error:
        raise UsageError(f"{target} cannot be read: {error.strerror}", "check the path") from error
    if target.suffix == ".ipynb":
        raise notebook_error(str(target))
    if target.suffix not in (".py", ""):
        raise UsageError(f"{target} is not a Python script", "name a .py file, or write the job.yaml by hand")
    folder = _project_of(parent)
    return folder, (parent / target.name).relative_to(folder).as_posix()


def _project_of(parent: Path) -> Path:
    """The nearest project around a script; not above the current folder, nor the person's home."""
    here, stop = Path.cwd().resolve(), Path.home().resolve()
    while (parent / "__init__.py").exists() and parent != parent.parent:
        parent = parent.parent  # of the outermost package
    for folder in (parent, *parent.parents):
        if folder == stop or folder == folder.parent:
            break
        if any((folder / name).exists() for name in _MARKERS):
            return folder
        if folder == here:
            return here
    return parent


def _draft(
    files: ProjectFiles,
    entry: EntryPoint,
    interface: ScriptInterface,
    surroundings: Surroundings,
    hints: CodeHints,
) -> JobDraft:
    literals = {
        option.name: place
        for option in interface.options
        if isinstance(option.value, str) and (place := _mounted(option.value, surroundings.data))
    }
    used = {place.split("/")[2] for place in literals.values()}
    linked = [item for item in surroundings.data if item.named and item.name not in used]
    taken = [item for item in surroundings.data if item.name in used or item in linked]
    outside = {
        option.name: option.value
        for option in interface.options
        if isinstance(option.value, str) and _leads_out(option.value)
    }
    return JobDraft(
        name=_job_name(files, entry),
        origin=_origin(entry, interface),
        words=entry.words,
        interface=interface,
        literals=literals,
        setup=tuple(_link(files, item, taken) for item in linked),
        paths=entry.paths,
        inputs={item.name: item.path for item in taken},
        suggested_inputs=outside | {link.replace("/", "-"): link for link in surroundings.links},
        trace=hints.trains,
        gpus=hints.cuda,
        network=f"{hints.fetches[0]} may want it; better: name the data in inputs" if hints.fetches else "",
    )


def _mounted(default: str, data: Iterable[FoundData]) -> str | None:
    """Where an option's default is mounted, if it is data or lies in it."""
    path = inside(default)
    for item in data:
        if path == item.path:
            return item.mounted + ("/" if default.endswith("/") else "")
        if path is not None and item.folder and path.startswith(f"{item.path}/"):
            return item.mounted + path.removeprefix(item.path)
    return None


def _leads_out(default: str) -> bool:
    """Whether a default looks like a path to data outside of the project."""
    return bool(re.match(r"(?:/|~/|\.\./)[\w./~-]+\Z", default)) and not default.startswith(("/tmp", "/dev"))  # noqa: S108


def _link(files: ProjectFiles, item: FoundData, taken: Iterable[FoundData]) -> str:
    """The command that puts an input where the script looks for it."""
    above = item.path.rpartition("/")[0]
    away = tuple(other.path for other in taken)
    kept = any(
        name not in away and not name.startswith(tuple(f"{path}/" for path in away))
        for name, _ in files.below(above)
    )
    make = "" if not above or kept else f"mkdir -p {literal_words([plain_argument(above)])} && "
    return f"{make}ln -s {literal_words([item.mounted, plain_argument(item.path)])}"


def _job_name(files: ProjectFiles, entry: EntryPoint) -> str:
    own = project_table(files).get("name")
    stem = entry.script.rpartition("/")[2].removesuffix(".py")
    generic = stem in ("train", "main", "run", "__main__", "cli", "app")
    name = own if isinstance(own, str) else files.folder.resolve().name
    if own is None and not generic:
        name = stem
    return _NAME.sub("-", name).strip("-._")[:100] or "job"


def _origin(entry: EntryPoint, interface: ScriptInterface) -> str:
    return f"{entry.script} ({interface.framework})" if interface.framework else entry.script


def _notes(
    files: ProjectFiles,
    entry: EntryPoint,
    interface: ScriptInterface,
    surroundings: Surroundings,
    hints: CodeHints,
) -> Iterable[str]:
    yield from (f"{entry.script}: {note}" for note in interface.notes)
    unnamed = [item.path for item in surroundings.data if not item.named]
    for path in unnamed[:_NOTED]:
        yield f"{path}: no file of the code names it, so it is left out of the job ({_IGNORED})"
    if len(unnamed) > _NOTED:
        yield f"{len(unnamed) - _NOTED:,} more files and folders of data are left out so"
    for place in hints.fetches:
        yield f"{place} may want a network, which a job has not: use inputs, or resources.network: bridge"
    for place in hints.notebook:
        yield f"{place} is there in a notebook only: take the line out"
    if files.data(entry.script) is None:
        yield f"{entry.script} is larger than 1 MiB and was not read: add its options to the command by hand"
    for file in sorted(entry.modules.unparsed)[:_NOTED]:
        yield f"{file} is not Python that can be parsed, so what it imports is not known"
    if entry.modules.unread:
        yield "not all modules were read, because they are too many or too large: look at what it imports"
    if files.odd:
        yield f"{files.odd} names in the folder cannot be source: not printable, or neither files nor folders"
    if files.unseen:
        where = ", ".join(sorted(files.unseen)[:3]) or "."
        yield f"not everything in {where} was looked at: too much; data is better in a folder of its own"


_IGNORED = ".repriseignore"
