"""The interface between Reprise and an engine that starts processes: four questions, no promises.

A launcher starts `reprise execute RUN --attempt N` (launched_command.py). That command keeps the promises:
of all the processes that are started for an attempt one works, a stale one can write nothing, and one result
is committed per run. So an engine may start the same attempt twice, start it late, lose it, or go on with it
after it was given up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Self

from orchestrator.record.run_record import BoxLine, Wanted
from orchestrator.spec.jobfile.job_spec import Resources
from orchestrator.value import Value

if TYPE_CHECKING:
    from orchestrator.launch.session import Session


class LaunchRequest(Value):
    """What an executor is asked to launch."""

    run: str
    number: int  # from 1; a run that was given up comes back with the next one
    job: str  # the job's name, for people who look at the engine's own lists
    gpus: int
    resources: Resources  # gpu: model; cpus, memory in bytes, timeout in seconds: None where not limited
    wanted: Wanted

    @property
    def name(self) -> str:
        """The same for the same attempt: what makes launching idempotent where an engine refuses doubles."""
        return f"reprise-{self.run}-{self.number}"


class Stage(StrEnum):
    WAITING = "waiting"  # the engine has it, and has not started it
    RUNNING = "running"  # its process runs, or may
    ENDED = "ended"  # its process is gone; the record knows the run's state
    UNKNOWN = "unknown"  # the engine does not know the ref (any more)


class AttemptStatus(Value):
    """What the engine says of an attempt. The state of the *run* is the record's alone."""

    stage: Stage
    detail: str = ""  # in words: why it waits, how it ended
    cancelled: bool = False  # over, because somebody ended it by the engine's own command, such as scancel
    unbegun: bool = False  # over, and surely never started: the same attempt can be submitted again

    @property
    def over(self) -> bool:
        return self.stage in (Stage.ENDED, Stage.UNKNOWN)


class Executor(ABC):
    """A kind of place where attempts execute. The three classes below are the ways in which one begins."""

    kind: ClassVar[str]  # the word after `--on`

    @classmethod
    @abstractmethod
    def connect(cls, session: Session) -> Self:
        """UsageError where this machine cannot use it."""


class OwnBox(Executor):
    """The command that submits a run executes it. The run stays on its box: nobody else can have it."""


class WorkerQueue(Executor):
    """Workers take the runs that their boxes fit. Nothing is sent anywhere: the row is the queue."""

    @abstractmethod
    def why_queued(self, run: str, boxes: Iterable[BoxLine]) -> str:
        """In one line, why no worker of these boxes has taken the run yet; empty where one has."""


class Launcher(Executor):
    """An engine that starts processes somewhere. Several people's commands may call a method at once.

    InfrastructureError where the engine does not answer: the caller decides nothing and tries again later.
    UsageError where the engine will never do what is asked.
    """

    @abstractmethod
    def submit(self, attempt: LaunchRequest) -> str:
        """Launch it and return what the engine calls it. The same attempt again: the same ref."""

    @abstractmethod
    def poll(self, ref: str) -> AttemptStatus:
        """Where it is. Without side effects, and cheap: asked every second."""

    def poll_many(self, refs: Sequence[str]) -> dict[str, AttemptStatus]:
        """`poll` of as many of them as the engine can be asked for at once: none, where it cannot."""
        del refs
        return {}

    @abstractmethod
    def cancel(self, ref: str) -> None:
        """End what was launched: its process gets TERM, which ends the container.

        A second or late call does nothing. The run's cancellation is in the record already.
        """

    @abstractmethod
    def logs(self, ref: str, start: int = 0) -> bytes:
        """What the launched process itself has printed, from byte `start` on: why it did not come up.

        The job's own log is in the record, not here. Empty where the engine keeps none.
        """
