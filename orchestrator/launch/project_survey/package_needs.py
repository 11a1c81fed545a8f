"""Which packages a project needs: the file that lists them, or what its imports say."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from orchestrator.image.packages.import_names import package_of
from orchestrator.launch.locking.sources.project_sources import LOCK_NAME
from orchestrator.launch.project_survey.entry_point import project_table, toml_or_empty
from orchestrator.launch.project_survey.local_modules import LocalModules
from orchestrator.launch.project_survey.project_files import ProjectFiles
from orchestrator.spec.jobfile.short_forms import table_in

_BASE_MODULES = frozenset({"torch", "numpy", "functorch", "torchgen", "setuptools", "pkg_resources"})
_NOTEBOOK_MODULES = frozenset({"IPython", "ipykernel"})
_PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,80}[A-Za-z0-9])?\Z", re.ASCII)
_REQUIREMENTS = re.compile(r"requirements[\w.-]*\.txt\Z")
_NOT_FOR_RUNNING = re.compile(r"dev|test|doc|lint|ci|build|optional|extra|gpu|colab", re.IGNORECASE)


@dataclass(frozen=True)
class PackageNeeds:
    file: str | None  # that lists them
    locked: bool  # with hashes already
    missing: tuple[str, ...]  # packages that imports need, and neither the file nor the base is seen to have


def find_needs(
    files: ProjectFiles, modules: LocalModules, imports: Iterable[str], provided: Mapping[str, str]
) -> PackageNeeds:
    """`provided`: the base's packages, by canonical name."""
    file = _file(files)
    foreign = {package_of(module) for module in imports if _is_foreign(module, modules)}
    missing = sorted(name for name in foreign if name is not None and canonicalize_name(name) not in provided)
    locked = file is not None and _is_locked(files, file)
    return PackageNeeds(file, locked, tuple(name for name in missing if _PACKAGE.match(name)))


def _is_foreign(module: str, modules: LocalModules) -> bool:
    if module in sys.stdlib_module_names or module in _BASE_MODULES or module in _NOTEBOOK_MODULES:
        return False
    return modules.root_of(module) is None


def _file(files: ProjectFiles) -> str | None:
    """A lock comes first, then what people write by hand; none where nothing is asked for in it."""
    top = files.files_in("")
    listed = [name for name in top if _REQUIREMENTS.match(name)]
    locked = [name for name in listed if _is_locked(files, name)]
    plain = sorted(
        (name for name in listed if not _NOT_FOR_RUNNING.search(name)), key=lambda name: (len(name), name)
    )
    found: list[str] = [name for name in (LOCK_NAME, "pylock.toml", "uv.lock") if name in top]
    found = [*found[:1], *(name for name in locked if not _NOT_FOR_RUNNING.search(name)), *found[1:], *plain]
    if "pyproject.toml" in top and _has_dependencies(files):
        found.append("pyproject.toml")
    found += [name for name in ("environment.yml", "environment.yaml", "conda.yaml") if name in top]
    return found[0] if found else None


def _has_dependencies(files: ProjectFiles) -> bool:
    poetry = table_in(table_in(toml_or_empty(files, "pyproject.toml"), "tool"), "poetry")
    return bool(project_table(files).get("dependencies")) or bool(poetry.get("dependencies"))


def _is_locked(files: ProjectFiles, name: str) -> bool:
    return name in ("pylock.toml", "uv.lock") or "--hash=sha256:" in (files.text(name) or "")
