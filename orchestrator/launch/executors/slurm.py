"""A Slurm cluster, by sbatch, squeue, scancel, sinfo and scontrol; no slurmdbd is needed.

An attempt is one batch job that carries the attempt's name, and a ref is `JOBID@CLUSTER/USER`: a command on
a machine of another cluster, or of a person who is shown only their own jobs, must not take "no such job" for
the end of ours. Slurm forgets a job MinJobAge after its end (300 s); then it is unknown, which is over.

What our own process prints is `launched/JOBID@CLUSTER.log` in the store, the one folder that all boxes share.
Where others may write to that folder our process writes it (launch_log.py), as Slurm's daemon follows links.
Why Slurm's own requeue is not used: docs/decisions/0013-slurm.md.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.launch.executors import launch_log, launched_command
from orchestrator.launch.executors.executor import AttemptStatus, Launcher, LaunchRequest, Stage
from orchestrator.launch.executors.launched_command import execute_environment
from orchestrator.launch.executors.slurm_text import (
    gres_of,
    is_attempts_name,
    never,
    options,
    plain,
    script,
    seen_of,
    slurm_environment,
)

if TYPE_CHECKING:
    from orchestrator.launch.session import Session
    from orchestrator.settings import Settings

TOOLS = ("sbatch", "squeue", "scancel", "sinfo", "scontrol")
TOGETHER = 5_000  # jobs that one squeue is asked for: its one word has 128 KiB at most
PATIENCE = 30.0  # seconds that a command of Slurm's may take; it asks a silent controller for about ten
_REF = re.compile(r"(\d{1,10})@([A-Za-z0-9_.-]{1,64})/([A-Za-z0-9_.@-]{1,64})")
_GONE = ("Invalid job id specified", "Job/step already completing or completed")
_NOT_OURS = ("Access/permission denied",)


class SlurmJob(NamedTuple):
    """A ref, taken apart."""

    number: int
    cluster: str
    user: str


class Cluster(NamedTuple):
    cluster: str
    private: bool  # people are shown only their own jobs


class SlurmExecutor(Launcher):
    kind = "slurm"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @classmethod
    def connect(cls, session: Session) -> Self:
        """UsageError on a machine without Slurm's commands, or where they know of no cluster."""
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if missing:
            raise UsageError(
                f"no {missing[0]} on this machine: Slurm cannot be asked from here",
                "type it on a machine of the cluster, or install Slurm's commands (Debian: slurm-client)",
            )
        _refuse_unconfigured(os.environ.get("SLURM_CONF"))
        return cls(session.settings)

    def submit(self, attempt: LaunchRequest) -> str:
        """UsageError, with Slurm's own words, for a request that it will never take.

        A job that has the attempt's name already is taken. If two commands submit at once, both see both
        jobs afterwards: the older stays, and the younger, which waits for it (singleton), is taken back.
        Two people's jobs do not wait for each other: there the record lets one work.
        """
        cluster = _here().cluster
        known = self._named(attempt.name)
        if known is None:
            mine = self._sbatch(attempt, cluster)
            known = min((mine, _me()), self._named(attempt.name) or (mine, _me()))
            if known[0] != mine:
                self._scancel(mine, attempt.name)
        return f"{known[0]}@{cluster}/{known[1]}"

    def poll(self, ref: str) -> AttemptStatus:
        job, here = _job(ref), _here()
        if job.cluster != here.cluster:
            where = f"it is on Slurm's cluster {job.cluster}, and this is {here.cluster}"
            return AttemptStatus(stage=Stage.RUNNING, detail=where)
        said = _ask("squeue", "--noheader", "--states=all", f"--jobs={job.number}", "--format=%T|%r|%j")
        lines = said.stdout.splitlines()
        if said.returncode == 0 and lines:
            return seen_of(lines[0].strip())
        if said.returncode != 0 and not any(text in said.stderr for text in _GONE):
            raise _silent(said)
        if here.private and job.user != _me():
            return AttemptStatus(stage=Stage.RUNNING, detail=f"Slurm shows its jobs to {job.user} alone")
        return AttemptStatus(stage=Stage.UNKNOWN, detail="Slurm does not know the job any more")

    def poll_many(self, refs: Sequence[str]) -> dict[str, AttemptStatus]:
        """One squeue for all that are here. Those that it does not name, all where it fails, are left out."""
        cluster = _here().cluster
        asked = {match[1]: ref for ref in refs if (match := _REF.fullmatch(ref)) and match[2] == cluster}
        found: dict[str, AttemptStatus] = {}
        for start in range(0, len(asked), TOGETHER):
            jobs = ",".join([*asked][start : start + TOGETHER])
            said = _ask("squeue", "--noheader", "--states=all", f"--jobs={jobs}", "--format=%i|%T|%r|%j")
            for line in said.stdout.splitlines() if said.returncode == 0 else ():
                number, _, seen = line.strip().partition("|")
                if number in asked:
                    found[asked[number]] = seen_of(seen)
        return found

    def cancel(self, ref: str) -> None:
        """A job of another person or cluster cannot be ended here: its process sees the wish in the record.

        Anybody who can write the record could name any job of this person's: only an attempt's is ended.
        """
        job = _job(ref)
        if job.cluster != _here().cluster:
            return
        said = _ask("squeue", "--noheader", "--states=all", f"--jobs={job.number}", "--format=%j")
        if said.returncode != 0 and not any(text in said.stderr for text in _GONE):
            raise _silent(said)
        name = said.stdout.strip()
        if is_attempts_name(name):
            self._scancel(job.number, name)

    def logs(self, ref: str, start: int = 0) -> bytes:
        """At most 1 MiB. Empty where the store is not a folder, or cannot be read here."""
        job = _job(ref)
        if self._settings.bucket is not None:
            return b""
        said = launch_log.read(self._settings.store, f"{job.number}@{job.cluster}.log", start)
        return said or _not_started(job)[start:]

    def _named(self, name: str) -> tuple[int, str] | None:
        """Number and user of the oldest job of this name, over or not."""
        said = _ask("squeue", "--noheader", "--states=all", f"--name={name}", "--format=%i %u")
        if said.returncode != 0:
            raise _silent(said)
        found = [line.split() for line in said.stdout.splitlines()]
        return min(((int(number), user) for number, user in found), default=None)

    def _sbatch(self, attempt: LaunchRequest, cluster: str) -> int:
        offered: list[str] = []
        if attempt.gpus and attempt.resources.gpu is not None:
            nodes = _ask("sinfo", "--noheader", "--Node", "--format=%G")
            if nodes.returncode != 0:
                raise _silent(nodes)
            offered = nodes.stdout.splitlines()
        gres = gres_of(attempt, offered)
        folder = None if self._settings.bucket is not None else launch_log.own_folder(self._settings.store)
        output = "/dev/null" if folder is None else f"{_escaped(folder)}/%j@{cluster}.log"
        log = f"%s@{cluster}.log" if folder is None and self._settings.bucket is None else None
        given = slurm_environment(os.environ, execute_environment(self._settings))
        said = _ask("sbatch", *options(attempt, gres, output), env=given, text=script(attempt, log))
        if said.returncode == 0:
            return int(said.stdout.split(";")[0])
        if never(said.stderr):
            raise UsageError(f"Slurm will never take this run: {_last(said.stderr)}", _asked(attempt, gres))
        raise _silent(said)

    def _scancel(self, number: int, name: str) -> None:
        said = _ask("scancel", f"--name={name}", str(number))
        if said.returncode != 0 and not any(text in said.stderr for text in (*_GONE, *_NOT_OURS)):
            raise _silent(said)


def _asked(attempt: LaunchRequest, gres: str | None) -> str:
    """What the attempt asks for, in words, for a person who has to ask for less."""
    resources = attempt.resources
    words = [gres] if gres else []
    words += [f"{resources.cpus:g} CPUs"] if resources.cpus else []
    words += [f"{resources.memory >> 20} MiB of memory"] if resources.memory else []
    words += [f"{resources.timeout:g} s"] if resources.timeout else []
    asked = ", ".join(words) or "nothing but a CPU"
    return f"it asks for {asked}; `sinfo -N -o '%N %c %m %l %G'` shows the nodes"


def _job(ref: str) -> SlurmJob:
    found = _REF.fullmatch(ref)
    if found is None:
        raise InfrastructureError(f"the record has {ref!r} for a job of Slurm's: no JOBID@CLUSTER/USER")
    return SlurmJob(int(found[1]), found[2], found[3])


def _me() -> str:
    """As Slurm names this process's user: by number where the machine knows no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _ask(*words: str, env: dict[str, str] | None = None, text: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            words,
            env=plain(os.environ) if env is None else env,
            input=text,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = f"Slurm: {words[0]} did not answer within {PATIENCE:g} s"
        raise InfrastructureError(
            said, "`sinfo` shows whether the cluster answers; then try again"
        ) from error
    except OSError as error:
        said = f"Slurm: {words[0]} cannot be started: {error.strerror}"
        raise InfrastructureError(said, "Slurm's commands must be on the PATH of this box") from error


def _silent(said: subprocess.CompletedProcess[str]) -> InfrastructureError:
    return InfrastructureError(
        f"Slurm: {said.args[0]}: {_last(said.stderr)}", "`scontrol ping` shows whether its controller answers"
    )


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].removeprefix("sbatch: error: ") if lines else "failed without a word"


def _here() -> Cluster:
    return _here_by(os.environ.get("SLURM_CONF"))


@cache
def _refuse_unconfigured(conf: str | None) -> None:
    """UsageError where Slurm's commands know of no cluster. Asked once in a process's life."""
    with suppress(InfrastructureError):  # a controller that is silent now takes the run later
        _here_by(conf)


@cache
def _here_by(conf: str | None) -> Cluster:
    """The cluster that this shell speaks to; it does not change while a process lives."""
    del conf
    said = _ask("scontrol", "show", "config")
    if said.returncode != 0 and "fatal:" in said.stderr:  # before any controller was asked
        raise UsageError(
            "Slurm's commands are on this machine, but no cluster is set up here: "
            + _last(said.stderr).removeprefix("scontrol: fatal: "),
            "type it on a machine of the cluster, or put its slurm.conf into /etc/slurm (SLURM_CONF names "
            "another place)",
        )
    found = dict(re.findall(r"^(ClusterName|PrivateData)\s*=\s*(\S+)", said.stdout, re.MULTILINE))
    if said.returncode != 0 or "ClusterName" not in found:
        raise _silent(said)
    private = {"jobs", "all"} & set(found.get("PrivateData", "").split(","))
    return Cluster(found["ClusterName"], bool(private) and os.geteuid() != 0)


def _not_started(job: SlurmJob) -> bytes:
    """Why nothing was printed, where the shell of the batch script could not start us. Empty if unknown."""
    try:
        said = _ask("scontrol", "show", "job", str(job.number)) if job.cluster == _here().cluster else None
    except (InfrastructureError, UsageError):  # the caller asked for the job's state, too, and heard of it
        return b""
    found = said and re.search(r"\bExitCode=12([67]):", said.stdout)
    if not found:
        return b""
    why = {"6": "cannot be executed", "7": "is not found"}[found[1]]
    start = launched_command.COMMAND[0]
    return f"{start} {why} on its node: install Reprise at the same path there\n".encode()


def _escaped(folder: Path) -> str:
    """For --output, where % begins a field."""
    return str(folder).replace("%", "%%")
