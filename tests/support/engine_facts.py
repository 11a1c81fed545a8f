"""What a Docker Engine says of itself, for tests of what is made of it."""

from __future__ import annotations

from orchestrator.run.engine.engine_info import EngineInfo

DOCKER = EngineInfo(
    id="e", version="20.10", podman=False, storage="overlay2", containerd_store=False, cgroup="1", kernel="6",
    os="Debian", root="/var/lib/docker", cpus=2, memory=10 << 30, runtimes=("runc",), cdi=False,
    live_restore=False, ipv6=True,
)  # fmt: skip
