"""A real Slurm cluster on one machine, in a second: munged, a controller, two nodes with two false GPUs each.

Everything is in one folder, on free ports, with a munge key of its own: it disturbs no other cluster, and two
of it can stand side by side. Needs Debian's slurmctld, slurmd, slurm-client and munge.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.programs import ran
from support.services import free_port

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
MODELS = {"n1": "h100", "n2": "a100"}
GPUS = {"n1": (0, 1), "n2": (2, 3)}  # the numbers of their device files, as /dev/nvidiaN has them

_CONF = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog={folder}/prolog
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=5
KillWait=15
MinJobAge=3600
GresTypes=gpu
SchedulerParameters=bf_interval=5,sched_interval=5,batch_sched_delay=0
SlurmdParameters=config_overrides
{nodes}PartitionName=gpu Nodes=n1,n2 Default=YES State=UP
"""


@dataclass
class SlurmCluster:
    """Nodes `n1` and `n2`. `environ` is what a node's processes get, by node."""

    folder: Path
    name: str
    environ: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    munged: subprocess.Popen[bytes] | None = None

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    @property
    def variables(self) -> dict[str, str]:
        """What a shell needs to speak to this cluster."""
        return {"SLURM_CONF": str(self.conf)}

    def ask(self, *words: str) -> str:
        return ran(*words, env={**os.environ, **self.variables}).stdout.strip()

    def write(self, cpus: int) -> None:
        host, user = socket.gethostname().partition(".")[0], pwd.getpwuid(os.geteuid()).pw_name
        nodes = gres = ""
        for node, model in MODELS.items():
            for number in GPUS[node]:
                os.mknod(self.folder / f"gpu{number}", stat.S_IFCHR | 0o600, os.makedev(1, 3))
            nodes += (
                f"NodeName={node} NodeAddr=127.0.0.1 NodeHostname={host} Port={free_port()} CPUs={cpus}"
                f" RealMemory=8000 Gres=gpu:{model}:2\n"
            )
            first, last = GPUS[node]
            gres += f"NodeName={node} Name=gpu Type={model} File={self.folder}/gpu[{first}-{last}]\n"
        text = _CONF.format(
            name=self.name, host=host, port=free_port(), user=user, folder=self.folder, nodes=nodes
        )
        self.conf.write_text(text)
        (self.folder / "gres.conf").write_text(gres)
        cases = "".join(
            f"{node}) {' '.join(f'echo export {key}={value};' for key, value in variables.items())} ;;\n"
            for node, variables in self.environ.items()
        )
        prolog = self.folder / "prolog"
        prolog.write_text(f'#!/bin/sh\ncase "$SLURMD_NODENAME" in\n{cases}*) ;;\nesac\n')
        prolog.chmod(0o755)

    def start(self) -> None:
        munge = self.folder / "munge"
        munge.mkdir(mode=0o755)
        key = munge / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        words = {
            "socket": "socket",
            "key-file": "key",
            "pid-file": "pid",
            "log-file": "log",
            "seed-file": "seed",
        }
        self.munged = subprocess.Popen(
            [
                "munged",
                "--foreground",
                "--force",
                *(f"--{word}={munge / file}" for word, file in words.items()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(munge / "err").open("wb"),
        )
        self._until(lambda: (munge / "socket").exists(), "munged")
        self.start_controller()
        for node in MODELS:
            self.start_node(node)
        self._until(lambda: self.idle() == set(MODELS), "the nodes")

    def start_controller(self) -> None:
        subprocess.run(["slurmctld", "-f", str(self.conf)], check=True, capture_output=True)
        self._until(self._answers, "slurmctld")

    def start_node(self, node: str) -> None:
        subprocess.run(["slurmd", "-f", str(self.conf), "-N", node], check=True, capture_output=True)

    def stop_controller(self) -> None:
        """As its service does: it saves what it knows."""
        pid = self.pid("slurmctld")
        _signal(pid, signal.SIGTERM)
        self._until(lambda: not _lives(pid), "slurmctld", "did not end")

    def kill_node(self, node: str) -> list[int]:
        """kill -9 of slurmd, its steps and what those started; the engine and its containers go on."""
        root = self.pid(node)
        doomed = [*_below(root), root] if root else []
        for step in _steps_of(self.folder, node):
            doomed += [step, *_below(step)]
        for pid in doomed:
            _signal(pid, signal.SIGKILL)
        return doomed

    def pid(self, daemon: str) -> int | None:
        with suppress(FileNotFoundError, ValueError):
            return int((self.folder / f"{daemon}.pid").read_text())
        return None

    def idle(self) -> set[str]:
        return set(self.ask("sinfo", "-h", "-N", "-t", "idle", "-o", "%N").split())

    def _answers(self) -> bool:
        done = subprocess.run(
            ["scontrol", "ping"], env={**os.environ, **self.variables}, capture_output=True, check=False
        )
        return done.returncode == 0

    def _until(self, done: Callable[[], object], what: str, trouble: str = "did not come up") -> None:
        end = time.monotonic() + 120
        while not done():
            if time.monotonic() > end:
                logs = [path.read_text(errors="replace")[-1500:] for path in self.folder.glob("*.log")]
                pytest.fail("\n".join([f"Slurm: {what} {trouble}", *logs]))
            time.sleep(0.05)

    def stop(self) -> None:
        for node in MODELS:
            self.kill_node(node)
        _signal(self.pid("slurmctld"), signal.SIGKILL)
        if self.munged is not None:
            self.munged.kill()
            self.munged.wait()


def _lives(pid: int | None) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _signal(pid: int | None, number: int) -> None:
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _below(pid: int | None) -> list[int]:
    """Children, and theirs."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *_below(int(child))]
    return found


def _steps_of(folder: Path, node: str) -> list[int]:
    """slurmstepd processes of a node: they leave slurmd, and are found by the log that they write to."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "comm").read_text() == "slurmstepd\n":
                files = [str(link.readlink()) for link in (process / "fd").iterdir()]
                if str(folder / f"{node}.log") in files:
                    found.append(int(process.name))
    return found


@contextmanager
def slurm_cluster(
    environ: Mapping[str, Mapping[str, str]] | None = None, *, cpus: int = 2
) -> Iterator[SlurmCluster]:
    """A cluster whose nodes have `cpus` CPUs each; `environ` by node."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.fail(
            f"no {missing[0]} here: `apt-get install slurmctld slurmd slurm-client munge` (make test does)"
        )
    folder = Path(tempfile.mkdtemp(prefix="reprise-slurm-"))
    folder.chmod(0o755)
    (folder / "state").mkdir()
    cluster = SlurmCluster(folder, f"lab{secrets.token_hex(3)}", environ or {})
    try:
        cluster.write(cpus)
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
