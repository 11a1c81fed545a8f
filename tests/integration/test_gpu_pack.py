"""The pack for a bare GPU box, rehearsed on this machine, and its Engine 28.5 with stand-ins for GPUs.

The pack is made once, in some minutes; REPRISE_GPU_PACK names a folder where it was unpacked already.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.box import Box, make_box, write_job
from support.gpu_container import NODES, TELL, seen_inside
from support.programs import load_program

from orchestrator.launch.session import Session
from orchestrator.run.attempt_model import GpuAccess
from orchestrator.run.hardware import Gpu
from orchestrator.settings import Settings

LOOK = NODES + TELL + "open('seen.json', 'w').write(json.dumps(seen))\n"
pytestmark = [pytest.mark.engine, pytest.mark.acceptance]
REPO = Path(__file__).resolve().parents[2]
GPUS = tuple(
    Gpu(
        uuid=f"GPU-00000000-0000-0000-0000-00000000000{number}",
        name="Stand-in",
        compute="9.0",
        sms=132,
        memory=80 << 30,
        driver="580",
        vbios="1",
        mig=False,
    )
    for number in range(2)
)
BARE = (
    "unshare",
    "--net",
    "--mount",
    "--propagation",
    "private",
    "sh",
    "-c",
    'ip link set lo up; exec "$@"',
    "-",
)


gpu_bare = load_program(REPO / "benchmarks" / "gpu_bare.py")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = os.environ.get("REPRISE_GPU_PACK")
    if made:
        return Path(made)
    folder = tmp_path_factory.mktemp("pack")
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    words = [str(REPO / "scripts" / "gpu-pack.sh"), str(folder / "pack.tar.xz"), version]
    subprocess.run(words, check=True, env=os.environ | {"VENV": sys.prefix})
    assert (folder / "pack.tar.xz").stat().st_size <= 64 << 20
    subprocess.run(["tar", "-xf", folder / "pack.tar.xz", "-C", folder], check=True)
    return folder / "reprise-gpu"


@contextmanager
def packed_engine(pack: Path, name: str, config: dict[str, Any], *path: Path) -> Iterator[str]:
    data = Path(f"/tmp/reprise-{name}-{os.getpid()}")  # short: a socket's path may have 108 bytes
    try:
        with gpu_bare.engine(pack / "engine", data, config, path, BARE) as host:
            yield host
    finally:
        subprocess.run(
            ["umount", "--recursive", "--lazy", str(data / "exec")], capture_output=True, check=False
        )
        shutil.rmtree(data, ignore_errors=True)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clones of /dev/null with the names of an NVIDIA driver's."""
    folder = tmp_path_factory.mktemp("nodes")
    for name in ("nvidia0", "nvidia1", "nvidiactl"):
        subprocess.run(["mknod", "-m", "666", folder / name, "c", "1", "3"], check=True)
    return folder


def spec_of(nodes: Path) -> Any:
    devices = {gpu.uuid: {f"/dev/nvidia{n}": str(nodes / f"nvidia{n}")} for n, gpu in enumerate(GPUS)}
    return gpu_bare.cdi_spec(devices, {"/dev/nvidiactl": str(nodes / "nvidiactl")}, {})


@pytest.fixture(scope="module")
def cdi_host(pack: Path, nodes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("cdi")
    (folder / "nvidia.json").write_text(json.dumps(spec_of(nodes)))
    config = {"features": {"cdi": True}, "cdi-spec-dirs": [str(folder)]}
    with packed_engine(pack, "cdi", config) as host:
        yield host


# The toolkit's two programs. The hook is what a device request leads to; the runtime may be the default one.
HOOK = "#!/bin/sh\ncat >>{folder}/hook; echo >>{folder}/hook\n"
RUNTIME = """#!/bin/sh
for word in "$@"; do
    if [ "$before" = --bundle ]; then cat "$word/config.json" >>{folder}/asked; echo >>{folder}/asked; fi
    before="$word"
done
exec {runc} "$@"
"""


@pytest.fixture(scope="module")
def toolkit(tmp_path_factory: pytest.TempPathFactory, pack: Path) -> Path:
    folder = tmp_path_factory.mktemp("toolkit")
    programs = {"nvidia-container-runtime-hook": HOOK, "nvidia-container-runtime": RUNTIME}
    for name, text in programs.items():
        (folder / name).write_text(text.format(folder=folder, runc=pack / "engine" / "bin" / "runc"))
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def toolkit_host(pack: Path, toolkit: Path) -> Iterator[str]:
    runtimes = {"nvidia": {"path": str(toolkit / "nvidia-container-runtime")}}
    config = {"runtimes": runtimes, "default-runtime": "nvidia", "features": {"cdi": False}}
    with packed_engine(pack, "toolkit", config, toolkit) as host:
        yield host


@pytest.fixture(scope="module")
def both_host(
    pack: Path, nodes: Path, toolkit: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An engine with a CDI file, whose default runtime is NVIDIA's, and without the hook on its PATH."""
    folder = tmp_path_factory.mktemp("both")
    (folder / "nvidia.json").write_text(json.dumps(spec_of(nodes)))
    config = {
        "features": {"cdi": True},
        "cdi-spec-dirs": [str(folder)],
        "runtimes": {"nvidia": {"path": str(toolkit / "nvidia-container-runtime")}},
        "default-runtime": "nvidia",
    }
    with packed_engine(pack, "both", config) as host:
        yield host


def on(host: str, tmp_path: Path, shared: Settings) -> tuple[Box, str]:
    """A box over that engine, and the tag of an image that is there: a job without a GPU brought it."""
    box = make_box(tmp_path / "home", shared, DOCKER_HOST=host)
    spec = write_job(tmp_path / "plain", "pass", "base: cpu")
    run = box.type("submit", str(spec), "--json", timeout=600)
    assert run.code == 0, run.err
    return box, f"reprise:{run.json['image'].removeprefix('sha256:')}"


def with_gpus(box: Box, *words: str) -> Any:
    """A command of a process that finds the stand-ins where it looks for GPUs."""
    code = (
        "import sys\nfrom orchestrator.run import hardware\n"
        f"gpus = tuple(hardware.Gpu.model_validate(one) for one in {[gpu.model_dump() for gpu in GPUS]!r})\n"
        "hardware.gpus = lambda: gpus\n"
        "from orchestrator.cli.main import main\nmain()\n"
    )
    command = [sys.executable, "-c", code, *words, "--json"]
    done = subprocess.run(command, env=box.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_job_has_the_gpu_that_cdi_names_and_its_rerun_is_identical(
    cdi_host: str, tmp_path: Path, shared_base: Settings
) -> None:
    box, _ = on(cdi_host, tmp_path, shared_base)
    spec = write_job(tmp_path / "job", LOOK, "base: cpu\nresources: {gpus: 1}\n")
    run = with_gpus(box, "submit", str(spec))
    assert run["state"] == "succeeded", run["message"]
    assert [gpu["name"] for gpu in run["fingerprint"]["bit_class"]["gpus"]] == ["Stand-in"]
    seen = json.loads(box.type("logs", run["id"]).out.strip().splitlines()[-1])
    assert seen["nodes"] == {"/dev/nvidia0": True, "/dev/nvidiactl": True}, "one GPU and not the other"
    assert with_gpus(box, "rerun", run["image"])["verdict"]["outcome"] == "identical"
    plain = box.json("submit", str(write_job(tmp_path / "cpu", LOOK, "base: cpu")))
    assert json.loads(box.type("logs", plain["id"]).out.strip().splitlines()[-1])["nodes"] == {}


def test_both_gpus_are_asked_for_by_cdi(
    cdi_host: str, tmp_path: Path, shared_base: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, image = on(cdi_host, tmp_path, shared_base)
    monkeypatch.setenv("DOCKER_HOST", cdi_host)
    session = Session(box.settings)
    assert session.engine.info().cdi
    seen = seen_inside(session.engine, GpuAccess.CDI, GPUS, image, tmp_path / "look", LOOK)
    assert seen["nodes"] == {"/dev/nvidia0": True, "/dev/nvidia1": True, "/dev/nvidiactl": True}


def test_the_nvidia_runtime_is_asked_for_the_gpu_and_for_none_where_a_job_has_none(
    toolkit_host: str, toolkit: Path, tmp_path: Path, shared_base: Settings
) -> None:
    box, _ = on(toolkit_host, tmp_path, shared_base)
    assert visible(toolkit)[-1] == ["NVIDIA_VISIBLE_DEVICES=void"], "a base's `all` would open every GPU"
    assert not (toolkit / "hook").exists()
    run = with_gpus(
        box, "submit", str(write_job(tmp_path / "job", LOOK, "base: cpu\nresources: {gpus: 1}\n"))
    )
    assert run["state"] == "succeeded", run["message"]
    assert visible(toolkit)[-1] == [f"NVIDIA_VISIBLE_DEVICES={GPUS[0].uuid}"]
    asked = json.loads((toolkit / "asked").read_text().splitlines()[-1])
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in asked["process"]["env"]
    assert json.loads((toolkit / "hook").read_text().splitlines()[-1])["id"], (
        "the hook got the container's state"
    )
    seen = json.loads(box.type("logs", run["id"]).out.strip().splitlines()[-1])
    assert seen["visible"] == GPUS[0].uuid


def test_where_both_ways_are_offered_the_gpu_comes_by_cdi_and_the_runtime_gives_none(
    both_host: str, toolkit: Path, tmp_path: Path, shared_base: Settings
) -> None:
    box, _ = on(both_host, tmp_path, shared_base)
    hooked = (toolkit / "hook").read_bytes() if (toolkit / "hook").exists() else b""
    spec = write_job(tmp_path / "job", LOOK, "base: cpu\nresources: {gpus: 1}\n")
    run = with_gpus(box, "submit", str(spec))
    assert run["state"] == "succeeded", run["message"]
    seen = json.loads(box.type("logs", run["id"]).out.strip().splitlines()[-1])
    assert seen["nodes"] == {"/dev/nvidia0": True, "/dev/nvidiactl": True}
    assert visible(toolkit)[-1] == ["NVIDIA_VISIBLE_DEVICES=void"]
    assert ((toolkit / "hook").read_bytes() if (toolkit / "hook").exists() else b"") == hooked


def visible(toolkit: Path) -> list[list[str]]:
    """What each container was given, by the runtime's records."""
    asked = [json.loads(line) for line in (toolkit / "asked").read_text().splitlines()]
    return [
        [one for one in config["process"]["env"] if one.startswith("NVIDIA_VISIBLE_DEVICES=")]
        for config in asked
    ]


# A venv may lie in /tmp, which a job's container covers: in the namespace it is at /mnt/python, too.
AT_MNT = (
    'ip link set lo up; mount -t tmpfs none /mnt; mkdir /mnt/python; mount --bind "$0" /mnt/python; exec "$@"'
)


def test_on_a_bare_box_the_pack_rehearses_all_that_needs_no_gpu(pack: Path, tmp_path: Path) -> None:
    """No network, no Docker on the PATH, another engine's socket out of reach."""
    data = Path(f"/var/tmp/reprise-bare-{os.getpid()}")
    environ = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(tmp_path),
        "PYTHON": "/mnt/python/bin/python",
    }
    report = tmp_path / "rows.json"
    words = [*BARE[:-2], AT_MNT, sys.prefix, str(pack / "run.sh"), "--data", str(data), "--json", str(report)]
    try:
        words.append("--rehearse")
        done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", str(data)], capture_output=True, check=False)
        shutil.rmtree(data, ignore_errors=True)
    assert done.returncode == 4, done.stdout + done.stderr
    rows = json.loads(report.read_text())["rows"]
    states = {name: row["state"] for name, row in rows.items()}
    not_here = {"request by nvidia runtime", "request by CDI"}
    assert {name for name, state in states.items() if state == "not run"} == not_here, done.stdout
    assert set(states.values()) == {"passed", "not run"}, done.stdout
    assert rows["digits twice, in a container"]["says"].startswith("identical"), done.stdout
