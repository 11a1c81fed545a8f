"""What a file asks for, in whatever form it is written."""

from __future__ import annotations

from orchestrator.value import Value

MAX_FILE = 4 << 20  # bytes of a file of requirements


class FoundRequirements(Value):
    lines: tuple[str, ...] = ()  # requirements as PEP 508 writes them, unchecked
    limits: tuple[str, ...] = ()  # in the same form: versions of what is needed anyway (`-c` of pip)
    notes: tuple[str, ...] = ()  # what was left out, and why

    def and_more(self, other: FoundRequirements) -> FoundRequirements:
        return FoundRequirements(
            lines=self.lines + other.lines,
            limits=self.limits + other.limits,
            notes=tuple(dict.fromkeys(self.notes + other.notes)),
        )
