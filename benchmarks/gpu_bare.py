"""What a pack of scripts/gpu-pack.sh does on a GPU box with Python and PyTorch, without Docker and network.

It starts the packed engine, writes a CDI file for the box's GPUs, makes a base of the box's own Python with
torch, and runs gpu_box.py over it. Root, and Linux with cgroups. Nothing is installed: all of it lies in one
folder (`--data`), and the engine is ended at the end. `--rehearse` does the same on a box without a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
PACK = REPO.parent  # engine/, site/ and digits/ lie beside the project
COVERED = ("/tmp/", "/dev/", "/run/", "/proc/", "/sys/")  # what a container has of its own
PATIENCE = 60  # seconds for the engine to come up


@contextmanager
def engine(
    programs: Path,
    data: Path,
    config: Mapping[str, Any],
    path: Sequence[Path] = (),
    within: Sequence[str] = (),
) -> Iterator[str]:
    """The packed engine, running; its DOCKER_HOST. It has no bridge: jobs without a network need none.

    `path`: more folders of programs for it. `within`: words before its command, such as unshare's.
    """
    data.mkdir(parents=True, exist_ok=True)
    settings = data / "daemon.json"
    settings.write_text(json.dumps(dict(config)))
    log, socket = data / "log", data / "docker.sock"
    folders = [str(folder) for folder in (*path, programs / "bin")]
    environ = {**os.environ, "PATH": ":".join([*folders, os.environ["PATH"]])}
    if b"libsystemd.so.0" not in subprocess.run(["ldconfig", "-p"], capture_output=True, check=False).stdout:
        environ["LD_LIBRARY_PATH"] = str(programs / "lib")
    command = [
        *within,
        *(programs / "bin" / "dockerd", "--config-file", settings, "--data-root", data / "data"),
        *("--exec-root", data / "exec", "--pidfile", data / "pid", "-H", f"unix://{socket}"),
        *("--bridge=none", "--iptables=false", "--ip6tables=false"),
    ]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(word) for word in command],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + PATIENCE
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > end:
                sys.exit(f"the engine does not come up:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
        yield f"unix://{socket}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def place_for_layers(wanted: Path) -> Path:
    """The first folder over which overlayfs works: in a container the usual ones are overlays themselves."""
    for folder in (wanted, Path("/var/tmp/reprise-gpu"), Path("/dev/shm/reprise-gpu")):
        parts = {name: folder / "try" / name for name in ("lower", "upper", "work", "merged")}
        for part in parts.values():
            part.mkdir(parents=True, exist_ok=True)
        options = f"lowerdir={parts['lower']},upperdir={parts['upper']},workdir={parts['work']}"
        words = ["mount", "-t", "overlay", "overlay", "-o", options, str(parts["merged"])]
        if subprocess.run(words, capture_output=True, check=False).returncode == 0:
            subprocess.run(["umount", str(parts["merged"])], check=True)
            return folder
    print("overlayfs works nowhere here: the engine will copy whole layers", file=sys.stderr)
    return wanted


Nodes = Mapping[str, str]  # path in the container -> path on the box


def cdi_spec(devices: Mapping[str, Nodes], shared: Nodes, libraries: Nodes) -> dict[str, Any]:
    """A CDI file. `devices`: by name, each with its own nodes; `shared`, `libraries`: what each gets, too."""
    mounts = [
        {"hostPath": there, "containerPath": inside, "options": ["ro", "nosuid", "nodev", "bind"]}
        for inside, there in libraries.items()
    ]
    named = [{"name": name, "containerEdits": {"deviceNodes": _nodes(own)}} for name, own in devices.items()]
    edits = {"deviceNodes": _nodes(shared), "mounts": mounts}
    return {
        "cdiVersion": "0.5.0",
        "kind": "nvidia.com/gpu",
        "devices": named,
        "containerEdits": {name: value for name, value in edits.items() if value},
    }


def _nodes(nodes: Nodes) -> list[dict[str, str]]:
    return [{"path": inside, "hostPath": there} for inside, there in nodes.items()]


def spec_of_box() -> dict[str, Any]:
    """The box's GPUs by UUID with their nodes, and the driver's libraries at the paths that they have here.

    The base is made of this box's file system, with its ld.so.cache, so they are found at these paths.
    """
    import pynvml
    from box_python import DRIVER_LIBRARIES

    pynvml.nvmlInit()
    devices = {}
    for number in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(number)
        node = f"/dev/nvidia{pynvml.nvmlDeviceGetMinorNumber(handle)}"
        devices[pynvml.nvmlDeviceGetUUID(handle)] = {node: node}
    nodes = [path for path in sorted(Path("/dev").glob("nvidia*")) if path.is_char_device()]
    shared = {str(path): str(path) for path in nodes if not path.name.removeprefix("nvidia").isdigit()}
    listed = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    found = [line.split("=>")[-1].strip() for line in listed.splitlines() if "x86-64" in line]
    libraries = {
        path: os.path.realpath(path) for path in found if Path(path).name.startswith(DRIVER_LIBRARIES)
    }
    return cdi_spec(devices, shared, libraries)


# A module is compiled as Triton compiles its first, in /dev/shm: nothing else can be written there.
WORKS = """
import os, pathlib, subprocess, sys, sysconfig
sys.stderr = sys.stdout
import torch
os.environ["TMPDIR"] = "/dev/shm"
source, module = pathlib.Path("/dev/shm/three.c"), pathlib.Path("/dev/shm/three.so")
source.write_text("#include <Python.h>\\nint three(void) { return 3; }\\n")
include = f"-I{sysconfig.get_paths()['include']}"
words = ["cc", str(source), "-O3", "-shared", "-fPIC", include, "-o", str(module)]
subprocess.run(words, check=True, stderr=subprocess.STDOUT)
assert module.stat().st_size and int(torch.arange(3).sum()) == 3
"""


def make_base(name: str) -> None:
    """Import this box's Python as an image and pin it as a base."""
    from box_python import write as write_base

    from orchestrator.run.engine.engine import Engine

    engine = Engine.connect()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            with os.fdopen(write, "wb") as out:
                write_base(out)
        except BaseException as error:  # noqa: BLE001  (a child has nobody to raise to)
            print(f"the base's file system: {error!r}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    os.close(write)
    path = f"PATH={Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    with os.fdopen(read, "rb") as archive:
        image = engine.import_image(archive, "reprise-bare", name, [f"ENV {path}"])
    if os.waitpid(child, 0)[1]:
        sys.exit("the base's file system could not be read")
    code, said = engine.run_once(image, [sys.executable, "-c", WORKS])
    if code != 0:
        text = said.decode(errors="replace")[-3000:]
        sys.exit(f"in the base torch or the compiler does not work:\n{text}")
    subprocess.run([sys.executable, "-m", "orchestrator.cli", "base", "pin", name, image], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("/tmp/reprise-gpu"), help="a folder, 30 GB")
    parser.add_argument("--rehearse", action="store_true", help="on a box without a GPU")
    parser.add_argument("--json", type=Path, help="a file for all numbers")
    asked = parser.parse_args()
    for prefix in {sys.prefix, sys.base_prefix}:
        if prefix.startswith(COVERED):
            sys.exit(f"a job's container covers the Python in {prefix}: PYTHON=... names another")
    data = place_for_layers(asked.data.absolute())
    os.environ.update(REPRISE_HOME=str(data / "home"), PYTHONPATH=f"{PACK / 'site'}:{REPO}:{REPO / 'tests'}")
    os.environ.update(PYTHONDONTWRITEBYTECODE="1", REPRISE_GPU_DIGITS=str(PACK / "digits"))
    sys.path[:0] = [str(PACK / "site"), str(REPO)]
    cdi = data / "cdi"
    cdi.mkdir(parents=True, exist_ok=True)
    if Path("/dev/nvidiactl").exists():
        (cdi / "nvidia.json").write_text(json.dumps(spec_of_box(), indent=1))
    config = {"features": {"cdi": True}, "cdi-spec-dirs": [str(cdi)]}
    began = time.monotonic()
    with engine(PACK / "engine", data / "engine", config) as host:
        os.environ["DOCKER_HOST"] = host
        print(f"the engine runs: {time.monotonic() - began:.0f} s", file=sys.stderr)
        make_base("cpu" if asked.rehearse else "cuda")
        print(f"the base is made: {time.monotonic() - began:.0f} s", file=sys.stderr)
        words = [sys.executable, str(REPO / "benchmarks" / "gpu_box.py"), "--python", sys.executable]
        words += ["--rehearse"] if asked.rehearse else []
        words += ["--json", str(asked.json.absolute())] if asked.json else []
        return subprocess.run(words, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
