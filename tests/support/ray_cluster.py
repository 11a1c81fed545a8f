"""A real Ray cluster on this machine: a head that executes nothing, and nodes that can be killed with -9.

Every node is told its own environment (engine, home), as `ray start` on a box of its own would have it. Other
clusters of this machine are left alone: `ray stop` would end them as well, so it is never used.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from support.services import free_port

READY = "This command will now block forever"
PATIENCE = 180.0  # seconds
PORTS = 60  # for the workers of one node


def ray_command() -> str:
    """`ray` of a virtual environment of its own: `make acceptance` puts it into ours, as a folder."""
    named = os.environ.get("REPRISE_TEST_RAY") or str(Path(sys.prefix) / "ray" / "bin" / "ray")
    found = shutil.which(named)
    if found is None:
        pytest.fail(
            f"no Ray here ({named}): `make acceptance` installs it; or `pip install 'ray[default]'` into a "
            "virtual environment of its own, and set REPRISE_TEST_RAY to its `ray`"
        )
    return found


def _parents() -> dict[int, tuple[int, str]]:
    """Living processes: parent, command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if fields[0] != "Z":
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                found[int(folder.name)] = (int(fields[1]), words)
    return found


def _marked(marker: str) -> set[int]:
    """Processes that inherited the marker, whoever their parent is by now."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if marker.encode() in path.read_bytes().split(b"\0"):
                found.add(int(path.parent.name))
    return found


def executes(words: str) -> bool:
    """Whether a command line is that of `reprise execute`."""
    return "orchestrator.cli execute" in words


@dataclass
class Node:
    """One `ray start` and all that came of it."""

    name: str
    words: list[str]
    environ: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    marker: str = field(default_factory=lambda: f"REPRISE_TEST_NODE={secrets.token_hex(8)}")

    def start(self) -> None:
        key, _, value = self.marker.partition("=")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.words,
                env={**self.environ, key: value},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + PATIENCE
        while READY not in (said := self.log.read_text(errors="replace")):
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                pytest.fail(f"`ray start` of {self.name}: {said[-2000:]}")
            time.sleep(0.1)

    def processes(self) -> dict[int, str]:
        """Of the node, with what it has started: number and command line."""
        there = _parents()
        mine = _marked(self.marker) & set(there)
        if self.process is not None and self.process.pid in there:
            mine.add(self.process.pid)
        while more := {pid for pid, (parent, _) in there.items() if parent in mine} - mine:
            mine |= more
        return {pid: there[pid][1] for pid in mine}

    def kill(self, *, spare_runs: bool = False) -> None:
        """kill -9 of everything at once; with `spare_runs` not of `reprise execute`, as if only the network
        to this node had gone.
        """
        end = time.monotonic() + 120
        while doomed := {
            pid for pid, words in self.processes().items() if not (spare_runs and executes(words))
        }:
            assert time.monotonic() < end, self.processes()
            for pid in doomed:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.process is not None:
                self.process.wait(120)
            time.sleep(0.1)
        self.process = None


@dataclass
class Cluster:
    """Who has `environ` can use it. Nodes: `one` and `two`."""

    address: str
    token: str
    head: Node
    nodes: tuple[Node, Node]

    @property
    def environ(self) -> dict[str, str]:
        return {"REPRISE_RAY": self.address, "RAY_AUTH_TOKEN": self.token}

    def ask(self, method: str, path: str, body: object = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.request(method, f"{self.address}{path}", json=body, headers=headers, timeout=30)

    def alive(self) -> set[str]:
        """Names of the nodes that the head takes for alive."""
        nodes = self.ask("GET", "/nodes?view=summary").json()["data"]["summary"]
        return {
            node["raylet"].get("nodeName", "") for node in nodes if node["raylet"].get("state") == "ALIVE"
        }


@contextmanager
def ray_cluster(
    one: Mapping[str, str],
    two: Mapping[str, str],
    *,
    cpus: int = 2,
    gpus: int = 0,
    labels: tuple[str, str] = ("gpu=H100", "gpu=A100"),
    head: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """`one`, `two`, `head`: what their environments have beside this one. `gpus` that are not there."""
    ray = ray_command()
    folder = Path(tempfile.mkdtemp(prefix="reprise-ray-", dir="/tmp"))  # a short path, for its sockets
    token = secrets.token_hex(32)  # Ray listens on all of the machine's addresses
    common = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": f"{Path(ray).parent}:{os.environ['PATH']}",
    }
    for name in ("CUDA_VISIBLE_DEVICES", "PYTHONPATH", "VIRTUAL_ENV"):
        common.pop(name, None)
    gcs, dashboard = free_port(), free_port()
    first = random.randrange(20000, 32000 - 3 * PORTS)  # below what the kernel gives away by itself
    little = ["--block", "--object-store-memory=80000000", "--disable-usage-stats"]

    def node(number: int, name: str, words: list[str], more: Mapping[str, str]) -> Node:
        low = first + number * PORTS
        ports = [
            f"--dashboard-agent-listen-port={free_port()}",
            f"--min-worker-port={low}",
            f"--max-worker-port={low + PORTS - 1}",
        ]
        command = [ray, "start", f"--node-name={name}", *words, *ports, *little]
        return Node(name, command, {**common, **more}, folder / f"{name}.log")

    at_head = [
        *("--head", f"--port={gcs}", "--num-cpus=0", "--num-gpus=0", f"--temp-dir={folder / 't'}"),
        *("--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"),
        f"--ray-client-server-port={free_port()}",
    ]
    nodes = []
    for number, (name, label, more) in enumerate(zip(("one", "two"), labels, (one, two), strict=True), 1):
        joins = [f"--address=127.0.0.1:{gcs}", f"--num-cpus={cpus}", f"--num-gpus={gpus}"]
        nodes.append(node(number, name, [*joins, f"--labels={label}"], more))
    cluster = Cluster(
        f"http://127.0.0.1:{dashboard}", token, node(0, "head", at_head, head or {}), (nodes[0], nodes[1])
    )
    try:
        for each in (cluster.head, *nodes):
            each.start()
        yield cluster
    finally:
        for each in (*nodes, cluster.head):
            each.kill()
        shutil.rmtree(folder, ignore_errors=True)
