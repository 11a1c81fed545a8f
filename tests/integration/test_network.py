"""`resources.network`: a job on the bridge reaches what listens there, and any other reaches nothing."""

from __future__ import annotations

import errno
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.box import Box, write_job

from orchestrator.run.engine.container_config import IPV6

pytestmark = pytest.mark.engine
PORT = 7007

LISTENER = f"""
import socket, sys
server = socket.create_server(('', {PORT}))
print('listening', flush=True)
while True:
    with server.accept()[0] as client:
        client.sendall(sys.argv[1].encode())
"""

CALLER = """
import os, socket
print('interfaces', sorted(set(os.listdir('/sys/class/net')) - {{'lo'}}))
try:
    with socket.create_connection(({host!r}, {port}), timeout=10) as client:
        heard = client.makefile().read()
        print('heard', heard)
        open('heard.txt', 'w').write(heard)
except OSError as error:
    print('unreached', error.errno)
"""


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def listener(box: Box, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The address of a container on the engine's own bridge, and the word that it says to who calls."""
    word = secrets.token_hex(8)
    spec = write_job(tmp_path / "listener", "pass")
    digest = box.type("build", str(spec), "--load").out.splitlines()[-1]
    image = f"reprise:{digest.removeprefix('sha256:')}"
    name = docker("run", "--detach", "--init", "--entrypoint", "python", image, "-c", LISTENER, word)
    try:
        deadline = time.monotonic() + 120
        while "listening" not in docker("logs", name):
            assert time.monotonic() < deadline
            time.sleep(0.3)
        yield docker("inspect", "--format", "{{.NetworkSettings.Networks.bridge.IPAddress}}", name), word
    finally:
        docker("rm", "--force", name)


def test_only_a_job_that_asks_for_the_bridge_reaches_its_neighbours(
    box: Box, tmp_path: Path, listener: tuple[str, str]
) -> None:
    host, word = listener
    script = CALLER.format(host=host, port=PORT)
    bridged = box.json("submit", str(write_job(tmp_path / "a", script, "resources: {network: bridge}")))
    said = box.type("logs", bridged["id"]).out
    assert f"heard {word}" in said
    assert "interfaces ['eth0']" in said

    alone = box.json("submit", str(write_job(tmp_path / "b", script)))
    said = box.type("logs", alone["id"]).out
    assert f"unreached {errno.ENETUNREACH}" in said
    assert "interfaces []" in said
    assert word not in said


def test_a_rerun_is_given_the_network_that_the_run_had(
    box: Box, tmp_path: Path, listener: tuple[str, str]
) -> None:
    """The network is no part of the image, so the record must remember it."""
    host, word = listener
    script = CALLER.format(host=host, port=PORT)
    run = box.json("submit", str(write_job(tmp_path / "job", script, "resources: {network: bridge}")))
    again = box.json("rerun", run["id"])
    assert again["verdict"]["outcome"] == "identical"
    assert f"heard {word}" in box.type("logs", again["run"]["id"]).out


ADDRESSES = """
import asyncio, os, socket

async def main():
    for host in ('localhost', socket.gethostname(), '127.0.0.1', *(['::1'] if IPV6 else [])):
        server = await asyncio.start_server(lambda reader, writer: writer.close(), host, 0)
        for each in server.sockets:
            reader, writer = await asyncio.open_connection(*each.getsockname()[:2])
            assert await reader.read() == b''
            writer.close()
        found = sorted({each.getsockname()[0] for each in server.sockets})
        print(host if host in ('localhost', '127.0.0.1', '::1') else 'own name', *found)
        server.close()
asyncio.run(main())
print(*(line for line in open('/etc/resolv.conf').read().splitlines() if line.startswith('nameserver')))
"""


@pytest.mark.parametrize("network", ["none", "bridge"])
def test_localhost_and_the_own_name_are_addresses_to_listen_at(
    box: Box, tmp_path: Path, network: str
) -> None:
    """asyncio listens at every address of a name, and fails where one of them cannot be had."""
    ipv6 = IPV6.exists()
    script = ADDRESSES.replace("IPV6", str(ipv6))
    spec = write_job(tmp_path / "job", script, f"resources: {{network: {network}}}")
    said = box.type("logs", box.json("submit", str(spec))["id"]).out.splitlines()
    loopback = ["127.0.0.1", "::1"] if ipv6 else ["127.0.0.1"]
    assert said[0] == " ".join(["localhost", *loopback])
    assert said[2:-1] == [f"{address} {address}" for address in loopback]
    if network == "none":
        assert said[1] == " ".join(["own name", *loopback])
        assert said[-1] == "nameserver 127.0.0.1"  # the host's own are its secret
    else:
        assert said[1].startswith("own name 1")  # of the bridge, by the engine


RANKS = """
import os, socket, torch, torch.distributed as dist

number = int(os.environ['RANK'])

def meet():
    dist.init_process_group('gloo')
    total = torch.tensor([number + 1.0])
    dist.all_reduce(total)
    assert total.item() == 3

def free_port():
    with socket.create_server(('', 0)) as free:
        return free.getsockname()[1]

meet()  # where torchrun has told to
os.environ['TORCHELASTIC_USE_AGENT_STORE'] = 'False'  # from here on rank 0 listens itself
for host in ('localhost', socket.gethostname(), HOSTS):
    port = torch.tensor([free_port()])
    dist.broadcast(port, 0)
    dist.destroy_process_group()
    os.environ.update(MASTER_ADDR=host, MASTER_PORT=str(port.item()))
    meet()
    if number == 0:
        print('met at', host)
dist.destroy_process_group()
"""


def test_ranks_of_a_job_without_a_network_meet(box: Box, tmp_path: Path) -> None:
    """`torchrun --standalone` goes by the machine's own name; each process gives up only after minutes."""
    folder = tmp_path / "job"
    spec = write_job(folder, RANKS.replace("HOSTS", repr("::1" if IPV6.exists() else "127.0.0.1")))
    command = "torchrun --standalone --nproc-per-node 2 main.py"
    spec.write_text(f"name: ranks\nbase: cpu\ncommand: {command}\nresources: {{timeout: 120s}}\n")
    run = box.json("submit", str(spec))
    assert run["state"] == "succeeded"
    said = box.type("logs", run["id"]).out
    assert said.count("met at ") == 3
