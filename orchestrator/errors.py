"""One tree of errors. Each class carries an exit code and, per instance, a hint on how to mend it.

The command line prints `message`, then `hint`, and exits with `exit_code`; nothing else turns errors
into exit codes.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The one table of exit codes; the README's table is tested against it."""

    OK = 0  # succeeded, identical, within tolerance
    JOB_FAILED = 1  # the job ran and failed
    USAGE = 2  # usage or spec error
    DIFFERENT = 3  # the rerun gave other bits
    NOT_COMPARABLE = 4  # not comparable or not instrumented
    INFRASTRUCTURE = 5  # engine, registry, store, database
    AUDIT = 6  # the audit found something
    INTERRUPTED = 130  # Ctrl-C


class RepriseError(Exception):
    """Base of every error that is written for users.

    `message` says what and where in one line; `hint` says how to mend it. Secrets are taken out of both.
    """

    exit_code: ExitCode = ExitCode.INFRASTRUCTURE

    def __init__(self, message: str, hint: str | None = None) -> None:
        from orchestrator.redaction import redact  # not for `reprise --help`

        self.message = redact(message)
        self.hint = None if hint is None else redact(hint)
        super().__init__(self.message)
        if self.hint:
            self.add_note(self.hint)  # a traceback, as in a notebook, shows it below the message


class UsageError(RepriseError):
    """The request itself is wrong: an unknown run, an ambiguous id, a bad filter."""

    exit_code = ExitCode.USAGE


class BaseNotPinnedError(UsageError):
    """A base was asked for that no digest pins."""


class InfrastructureError(RepriseError):
    """Something that Reprise stands on failed; the job is not to blame."""

    exit_code = ExitCode.INFRASTRUCTURE


class EngineError(InfrastructureError):
    """The container engine refused or failed."""


class EngineMissingError(EngineError):
    """No container engine answers."""


class ImageMissingError(EngineError):
    """The engine lacks an image that it had, or should have."""


class RegistryError(InfrastructureError):
    """An image registry refused, failed, or delivered bytes of another digest."""


class StoreError(InfrastructureError):
    """A blob or layer could not be stored, or its bytes no longer match its digest."""


class RecordError(InfrastructureError):
    """The database refused or failed."""


class FencedError(RecordError):
    """A newer attempt owns this run, so this one may no longer write."""


class AuditError(RepriseError):
    """Two records of the same history contradict each other."""

    exit_code = ExitCode.AUDIT
