"""Verdict: a closed word, and the evidence for it."""

from __future__ import annotations

from enum import StrEnum

from orchestrator.digest import Digest
from orchestrator.errors import ExitCode
from orchestrator.value import Value


class Outcome(StrEnum):
    IDENTICAL = "identical"
    WITHIN_TOLERANCE = "within_tolerance"
    DIFFERENT = "different"
    NOT_COMPARABLE = "not_comparable"
    NOT_INSTRUMENTED = "not_instrumented"
    FAILED = "failed"

    @property
    def exit_code(self) -> ExitCode:
        return {
            Outcome.IDENTICAL: ExitCode.OK,
            Outcome.WITHIN_TOLERANCE: ExitCode.OK,
            Outcome.DIFFERENT: ExitCode.DIFFERENT,
            Outcome.NOT_COMPARABLE: ExitCode.NOT_COMPARABLE,
            Outcome.NOT_INSTRUMENTED: ExitCode.NOT_COMPARABLE,
            Outcome.FAILED: ExitCode.JOB_FAILED,
        }[self]


class FileDifference(Value):
    """One output that is not the same in both runs."""

    path: str
    original: Digest | None  # None: absent there
    rerun: Digest | None
    first_byte: int | None = None  # offset of the first differing byte; the shorter length if one is a prefix
    note: str = ""  # what was excused, and by which tolerance; or why it could not be compared


class MetricDifference(Value):
    name: str
    original: float | None
    rerun: float | None
    within: bool  # by the spec's tolerance


class Verdict(Value):
    outcome: Outcome
    original: str  # run id
    rerun: str
    summary: str  # one sentence
    files: tuple[FileDifference, ...] = ()  # the differing ones, sorted by path
    metrics: tuple[MetricDifference, ...] = ()
    flags_changed: dict[str, str] = {}  # lever -> "original: a -> b; rerun: ..." where the script moved it
    compared: int = 0  # outputs compared
    notes: tuple[str, ...] = ()
