"""Which file of a project a module's name stands for, as Python would find it from a script."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from orchestrator.launch.project_survey.project_files import ProjectFiles
from orchestrator.launch.project_survey.python_source import imported_modules, parse_python

MAX_MODULES = 200  # of a project that are read
MAX_PARSED = 2 << 20  # bytes of them: a tree takes up to 1,000 for each


@dataclass
class LocalModules:
    """`roots` are the folders that Python looks into, the script's own first; `""` is the project's."""

    files: ProjectFiles
    roots: tuple[str, ...]
    unread: bool = False  # there are more modules than are read
    unparsed: set[str] = field(default_factory=set)  # files that were read and are no Python of this version
    _trees: dict[str, ast.Module | None] = field(default_factory=dict)
    _imports: dict[str, dict[str, int]] = field(default_factory=dict)
    _left: int = MAX_PARSED

    def tree(self, file: str) -> ast.Module | None:
        if file not in self._trees:
            data = self.files.data(file)
            size = len(data or b"")
            full = len(self._trees) >= MAX_MODULES or size > self._left
            self._left -= 0 if full else size
            self._trees[file] = None if full else parse_python(data)
            if data is not None and self._trees[file] is None and not full:
                self.unparsed.add(file)
            self.unread |= full
        return self._trees[file]

    def imports(self, file: str) -> dict[str, int]:
        """The modules that a file imports, each with its line."""
        if file not in self._imports:
            tree = self.tree(file)
            self._imports[file] = imported_modules(tree) if tree is not None else {}
        return self._imports[file]

    def find(self, module: str, importer: str) -> str | None:
        """The file of a module: `a.b`, or `.b` as seen from the importing file."""
        dots = len(module) - len(module.lstrip("."))
        path = module[dots:].replace(".", "/")
        if not dots:
            return next((file for root in self.roots if (file := self._file(root, path))), None)
        folder = importer.rpartition("/")[0]
        for _ in range(dots - 1):
            folder = folder.rpartition("/")[0]
        return self._file(folder, path)

    def root_of(self, module: str) -> str | None:
        """The first of the roots that has the beginning of a dotted name: a module, a package or a folder."""
        first = module.partition(".")[0]
        return next((root for root in self.roots if self._has(root, first)), None)

    def reached(self, script: str) -> dict[str, ast.Module]:
        """The script and every module of the project that it imports, directly or not."""
        found: dict[str, ast.Module] = {}
        waiting = [script]
        while waiting and len(found) < MAX_MODULES:
            file = waiting.pop(0)
            tree = self.tree(file) if file not in found else None
            if tree is not None:
                found[file] = tree
                waiting += [other for module in self.imports(file) if (other := self.find(module, file))]
        return found

    def _file(self, root: str, path: str) -> str | None:
        start = f"{root}/" if root else ""
        places = (f"{start}{path}.py", f"{start}{path}/__init__.py") if path else (f"{start}__init__.py",)
        return next((place for place in places if place in self.files.sizes), None)

    def _has(self, root: str, first: str) -> bool:
        place = f"{root}/{first}" if root else first
        if f"{place}.py" in self.files.sizes:
            return True
        return place in self.files.folders and any(
            name.endswith(".py") for name, _ in self.files.below(place)
        )
