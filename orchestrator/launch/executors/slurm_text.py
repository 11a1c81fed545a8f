"""Slurm's requests and answers as text. Nothing here calls Slurm.

Facts of Slurm 22.05, seen on a cluster: SLURM_JOB_GPUS counts the node's GPUs in the order of its gres.conf,
while CUDA_VISIBLE_DEVICES counts those of the job under ConstrainDevices. A job whose output file cannot be
made dies before it starts.
"""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping

from orchestrator.errors import UsageError
from orchestrator.launch.executors.executor import AttemptStatus, LaunchRequest, Stage
from orchestrator.launch.executors.launched_command import execute_command

OWN_MEMORY = 512  # MiB for our own process, in addition to the container's
ROOM = 1800.0  # seconds beyond a spec's timeout: the image is pulled before, the outputs are collected after
WARNING = 60  # seconds from TERM to the time limit; then come TERM and, after KillWait, KILL

# What changes the answers of Slurm's commands: filters, formats, other clusters.
_FILTERS = re.compile(r"(SQUEUE|SINFO|SCANCEL|SCONTROL)_|(SLURM|SBATCH)_CLUSTERS$")
# What a person's shell says of their own machine, or of a job that it is itself in.
_PERSONS_OWN = re.compile(r"REPRISE_|DOCKER_|(CUDA|NVIDIA|ROCR|GPU)_|SLURM_(?!CONF$)")

_WAITING = frozenset(
    ("CONFIGURING", "PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")
)
_ENDED = {
    "BOOT_FAIL": "its node did not boot",
    "CANCELLED": "cancelled in Slurm, not by `reprise cancel`",
    "COMPLETED": "its process ended",
    "DEADLINE": "Slurm's deadline for it has passed",
    "FAILED": "its process failed",
    "NODE_FAIL": "its node died",
    "OUT_OF_MEMORY": "our own process was killed for memory on its node",
    "PREEMPTED": "pre-empted by another job",
    "REVOKED": "taken by another cluster of the federation",
    "TIMEOUT": "Slurm's time limit for it has passed",
}
_OTHER = "cancel it, or name another (SBATCH_PARTITION)"
_REASONS = {
    "BadConstraints": "no node can ever have what it asks for; cancel it",
    "BeginTime": "Slurm holds it back for a moment",
    "Dependency": "the same attempt was submitted twice; the other goes first",
    "JobHeldAdmin": "an administrator holds it",
    "JobHeldUser": "somebody holds it: `scontrol release` lets it go",
    "None": "Slurm has not looked at it yet",
    "JobLaunchFailure": "its node could not start it; has it the same REPRISE_STORE at the same path?",
    "PartitionConfig": f"its partition has no node that fits: {_OTHER}",
    "PartitionNodeLimit": f"its partition has no node that fits: {_OTHER}",
    "PartitionTimeLimit": f"its partition allows less than resources.timeout and half an hour: {_OTHER}",
    "Priority": "other jobs go first",
    "ReqNodeNotAvail": "nodes that fit are down or reserved",
    "Resources": "nodes that fit are busy",
}
# sbatch's messages on requests that it will never take. Nothing is concluded from its others, such as those
# on rights and limits, which depend on who asks and when.
_NEVER = (
    "Requested node configuration is not available",
    "Invalid generic resource (gres) specification",
    "Invalid gres specification",
    "Memory specification can not be satisfied",
    "CPU count per node can not be satisfied",
    "More processors requested than permitted",
    "Requested time limit is invalid",
)


def options(attempt: LaunchRequest, gres: str | None, output: str) -> list[str]:
    """sbatch's words for an attempt; `output` is the file of what our own process prints.

    --no-requeue: a job is one attempt, and the next attempt another job (docs/decisions/0013-slurm.md).
    singleton: of two jobs of one name the second waits.
    """
    resources = attempt.resources
    words = [
        "--parsable",
        "--no-requeue",
        "--dependency=singleton",
        "--export=ALL",
        "--open-mode=append",
        "--chdir=/",
        "--nodes=1",
        "--ntasks=1",
        f"--job-name={attempt.name}",
        f"--comment=Reprise: {attempt.job}",
        f"--output={output}",
        f"--signal=B:TERM@{WARNING}",
    ]
    if gres is not None:
        words.append(f"--gres={gres}")
    if resources.cpus is not None:
        words.append(f"--cpus-per-task={math.ceil(resources.cpus)}")
    if resources.memory is not None:
        words.append(f"--mem={math.ceil(resources.memory / (1 << 20)) + OWN_MEMORY}M")
    if resources.timeout is not None:
        words.append(f"--time={math.ceil((resources.timeout + ROOM) / 60)}")  # minutes
    return words


def script(attempt: LaunchRequest, log: str | None = None) -> str:
    """The batch script becomes our process, which so gets TERM itself and ends the container.

    `log`: the file of launch_log.py to which it prints, with `%s` for the job's number.

    Without GPUs of the job's own it must not start: `--gpus` left out would mean all of the box.
    """
    command = shlex.join(execute_command(attempt.run, attempt.number, None if attempt.gpus else ""))
    if attempt.gpus:
        command += ' --gpus "${SLURM_JOB_GPUS:?Slurm does not say which GPUs: its gres.conf names no files}"'
    if log is not None:
        first, last = log.split("%s")
        command += f' --print-to {shlex.quote(first)}"$SLURM_JOB_ID"{shlex.quote(last)}'
    return f"#!/bin/sh\nexec {command}\n"


def slurm_environment(shell: Mapping[str, str], shared: Mapping[str, str]) -> dict[str, str]:
    """The shell's variables but those of its own machine, and the settings that all boxes share.

    A node's REPRISE_HOME and DOCKER_HOST are the node's to say: by Slurm's TaskProlog, or by default.
    """
    kept = {name: value for name, value in plain(shell).items() if not _PERSONS_OWN.match(name)}
    return kept | dict(shared)


def plain(shell: Mapping[str, str]) -> dict[str, str]:
    """The shell's variables but those that change what Slurm's commands do."""
    return {name: value for name, value in shell.items() if not _FILTERS.match(name)}


def gres_of(attempt: LaunchRequest, offered: Iterable[str]) -> str | None:
    """What --gres asks for; None for a run without GPUs.

    `offered`: the generic resources of each node, as `sinfo -N -o %G` lists them. The spec's model is part of
    a GPU's name; Slurm's types are the administrator's words. Of several that fit, the one with most GPUs.
    UsageError where none fits. Nodes that name no type are asked for by number: our process looks there.
    """
    if not attempt.gpus:
        return None
    model, types = attempt.resources.gpu, types_of(offered)
    if model is None or not types or set(types) == {""}:
        return f"gpu:{attempt.gpus}"
    wanted = _letters(model)
    fits = [kind for kind in types if _letters(kind) == wanted]
    fits = fits or [kind for kind in types if kind and wanted in _letters(kind)]
    fits = fits or [kind for kind in types if kind and _letters(kind) in wanted]
    if not fits:
        named = ", ".join(sorted(filter(None, types)))
        raise UsageError(
            f"no GPU of Slurm's is called {model!r}; it has {named}", "resources.gpu or --gpu names the model"
        )
    return f"gpu:{max(fits, key=lambda kind: types[kind])}:{attempt.gpus}"


def types_of(offered: Iterable[str]) -> Counter[str]:
    """Type of GPU -> how many there are; "" for GPUs without a type."""
    found: Counter[str] = Counter()
    for line in offered:
        for kind, count in re.findall(r"(?:^|,)gpu(?::([^:,()]+))?:(\d+)", line):
            found[kind] += int(count)
    return found


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def seen_of(line: str) -> AttemptStatus:
    """From `squeue -o "%T|%r|%j"`. A state that is not known here is taken for running: nothing is lost."""
    state, _, rest = line.partition("|")
    reason, _, name = rest.partition("|")
    if not is_attempts_name(name):
        return AttemptStatus(stage=Stage.UNKNOWN, detail="Slurm has given its number to another job")
    if state in _WAITING:
        return AttemptStatus(stage=Stage.WAITING, detail=_in_words(reason))
    if state in _ENDED:
        why = f"{state}, {_ENDED[state]}"
        if state == "FAILED" and reason not in ("None", "NonZeroExitCode"):
            why += f" ({_in_words(reason)})"
        return AttemptStatus(stage=Stage.ENDED, detail=why, cancelled=state == "CANCELLED")
    return AttemptStatus(
        stage=Stage.RUNNING, detail="" if state == "RUNNING" else f"Slurm says {state.lower()}"
    )


def is_attempts_name(name: str) -> bool:
    """Whether a job of Slurm's is called as an attempt is (Attempt.name)."""
    return re.fullmatch(r"reprise-[0-9a-f]{16}-[0-9]{1,9}", name) is not None


def _in_words(reason: str) -> str:
    words = _REASONS.get(reason.partition(",")[0])
    return f"{reason}: {words}" if words else reason


def never(message: str) -> bool:
    """Whether sbatch refuses the request itself, and so would from anybody at any time."""
    return any(text in message for text in _NEVER)
