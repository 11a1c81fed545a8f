"""Collects the problems of a job file, and finds the line of each."""

from __future__ import annotations

from orchestrator.spec.jobfile.problems import KeyPath, Problem, dotted
from orchestrator.spec.jobfile.strict_yaml import YamlNode

COMMAND_LINE = "command line"


class Collector:
    """The problems of one file so far, and the paths that they are about, so that each is reported once."""

    def __init__(self, file: str, root: YamlNode, problems: list[Problem]) -> None:
        self.file = file
        self.problems = problems
        self._root = root
        self._reported: set[KeyPath] = set()

    def add(self, path: KeyPath, message: str, hint: str | None = None) -> None:
        self._reported.add(path)
        self.problems.append(Problem(self.file, self.line(path), dotted(path), message, hint))

    def add_typed(self, option: str, message: str, hint: str | None = None) -> None:
        """A problem of what was typed on the command line."""
        self.problems.append(Problem(COMMAND_LINE, None, option, message, hint))

    def mark_reported(self, path: KeyPath) -> None:
        """What lies at this path has been reported elsewhere."""
        self._reported.add(path)

    def covers(self, path: KeyPath) -> bool:
        """Whether a path, or what it lies in, has been reported."""
        return any(path[:length] in self._reported for length in range(len(path) + 1))

    def line(self, path: KeyPath) -> int | None:
        """The line of the last step of a path that the file has; None for the file as a whole."""
        node, line = self._root, None
        for step in path:
            held = node.value
            in_list = isinstance(held, list) and isinstance(step, int) and step < len(held)
            if not in_list and not (isinstance(held, dict) and step in held):
                break
            node = held[step]
            line = node.line
        return line
