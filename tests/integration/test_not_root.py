"""The whole way as a user who is not root, in the group of the engine's socket."""

from __future__ import annotations

import grp
import json
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.box import write_job
from support.programs import ran

from orchestrator.image.base.base_pins import list_pins
from orchestrator.settings import Settings, load

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        os.geteuid() != 0, reason="only root makes users; as another one, all tests are this one"
    ),
]
ROOT = Path(__file__).resolve().parents[2]
SMALL = 1 << 20  # bytes: manifests and configs; the engine has the base's layers

LEAVES = """
import json, os, tempfile
fd, name = tempfile.mkstemp(dir="."); os.write(fd, b"weights"); os.close(fd); os.replace(name, "model.bin")
os.makedirs("ckpt/epoch1"); open("ckpt/epoch1/w.txt", "w").write("x")
os.makedirs("private/deep"); open("private/deep/a.txt", "w").write("x"); os.chmod("private/deep/a.txt", 0)
os.chmod("private/deep", 0); os.chmod("private", 0o1700)
open("same.txt", "w").write("same"); os.chmod("main.py", 0o600)
json.dump({"acc": 1.0}, open("metrics.json", "w")); os.chmod("metrics.json", 0o600)
os.symlink("model.bin", "best")
"""
KEPT = {"model.bin", "ckpt/epoch1/w.txt", "private/deep/a.txt", "same.txt", "metrics.json"}


@dataclass(frozen=True)
class Somebody:
    name: str
    home: Path
    python: tuple[str, ...]
    environ: dict[str, str]

    def words(self, *words: str) -> list[str]:
        them = pwd.getpwnam(self.name)
        ids = [f"--reuid={them.pw_uid}", f"--regid={them.pw_gid}", f"--groups={_engine_group()}"]
        return ["setpriv", *ids, *self.python, "-m", "orchestrator.cli", *words]

    def type(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        there = {"env": self.environ | environ, "cwd": self.home, "timeout": 300}
        return ran(*self.words(*words), code=None, **there)

    def json(self, *words: str) -> Any:
        done = self.type(*words, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


def _engine_group() -> int:
    return Path("/var/run/docker.sock").stat().st_gid


def _python(name: str) -> Sequence[str]:
    """An interpreter of this version that the user may run; its packages come by PYTHONPATH."""
    major_minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for python in (sys.executable, f"/usr/bin/python{major_minor}"):
        done = subprocess.run(
            ["runuser", "-u", name, "--", python, "-c", ""], capture_output=True, check=False
        )
        if done.returncode == 0:
            return [python]
    pytest.skip(f"no Python {major_minor} is here that another user than root may run")


@pytest.fixture(scope="module")
def checkout() -> Iterator[Path]:
    """This checkout where another user can reach it, whoever owns the folders above it."""
    place = Path(f"/var/tmp/reprise-checkout-{secrets.token_hex(4)}")
    place.mkdir()
    subprocess.run(["mount", "--bind", ROOT, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
        place.rmdir()


@pytest.fixture
def somebody(shared_base: Settings, checkout: Path) -> Iterator[Somebody]:
    name, group = f"reprise-{secrets.token_hex(4)}", grp.getgrgid(_engine_group()).gr_name
    home = Path("/var/tmp") / name  # pytest's own folders are closed to others
    subprocess.run(["useradd", "--create-home", "--home-dir", home, "--groups", group, name], check=True)
    try:
        python = _python(name)
        settings = load({"REPRISE_HOME": str(home / "reprise")})
        blobs = settings.layout / "blobs/sha256"
        blobs.mkdir(parents=True)
        for pin in list_pins(shared_base):
            manifest = shared_base.layout / "blobs/sha256" / pin.digest.hex
            shutil.copy(manifest, blobs)
            config = json.loads(manifest.read_bytes())["config"]["digest"].removeprefix("sha256:")
            shutil.copy(manifest.parent / config, blobs)
        shutil.copy(shared_base.pins, settings.pins)
        shutil.copytree(ROOT / "jobs/hello", home / "hello")
        write_job(home / "job", LEAVES)
        (home / "job/same.txt").write_text("same")
        subprocess.run(["chown", "-R", f"{name}:", home], check=True)
        packages = Path(sysconfig.get_paths()["purelib"])
        if packages.is_relative_to(ROOT):
            packages = checkout / packages.relative_to(ROOT)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "REPRISE_HOME": str(settings.home),
            "PYTHONPATH": f"{checkout}:{packages}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_COLOR": "1",
        }
        if "DOCKER_HOST" in os.environ:
            environ["DOCKER_HOST"] = os.environ["DOCKER_HOST"]
        yield Somebody(name, home, tuple(python), environ)
    finally:
        subprocess.run(["userdel", "--remove", "--force", name], check=True, capture_output=True)


def attempts(somebody: Somebody) -> list[str]:
    return sorted(path.name for path in (somebody.home / "reprise/attempts").iterdir())


def test_the_whole_way(somebody: Somebody) -> None:
    done = somebody.type("submit", str(somebody.home / "job"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout
    assert "next:" in done.stdout
    run = somebody.json("show", somebody.json("history")["runs"][0]["id"])
    assert {one["path"] for one in run["outputs"] if one["status"] == "kept"} == KEPT
    assert [(one["path"], one["target"]) for one in run["outputs"] if one["reason"]] == [
        ("best", "model.bin")
    ]
    assert run["metrics"] == {"acc": 1.0}
    assert any("wrote again, with the same bytes, same.txt" in note for note in run["notes"])
    assert not any("main.py" in note for note in run["notes"])
    assert attempts(somebody) == []
    assert somebody.json("rerun", run["image"])["verdict"]["outcome"] == "identical"
    done = somebody.type("outputs", run["id"], "--to", str(somebody.home / "back"))
    assert done.returncode == 0, done.stderr
    assert (somebody.home / "back/model.bin").read_bytes() == b"weights"
    done = somebody.type("worker", "recover")
    assert (done.returncode, done.stdout) == (0, "nothing to do\n"), done.stderr
    assert somebody.type("doctor").returncode == 0


# As root each point is tried by test_crashes.py; what `finished` leaves is removed below, but for a folder.
@pytest.mark.parametrize("point", ["collecting", pytest.param("finished", marks=pytest.mark.acceptance)])
def test_what_a_killed_process_leaves_is_finished_and_removed(somebody: Somebody, point: str) -> None:
    somebody.type("submit", str(somebody.home / "job"), REPRISE_CRASH_AT=point)
    assert attempts(somebody) != []
    done = somebody.type("worker", "recover")
    assert done.returncode == 0, done.stdout + done.stderr
    assert attempts(somebody) == []
    (run,) = somebody.json("history")["runs"]
    assert run["state"] == "succeeded"
    assert {one["path"] for one in somebody.json("show", run["id"])["outputs"] if one["digest"]} == KEPT


def test_what_cannot_be_removed_is_said_and_is_nobodys_result(somebody: Somebody) -> None:
    """Root made a folder in the attempt's, which neither the user nor the job's may empty."""
    somebody.type("submit", str(somebody.home / "job"), REPRISE_CRASH_AT="finished")
    (folder,) = (somebody.home / "reprise/attempts").glob("*-1")
    (folder / "workspace/roots").mkdir(mode=0o755)
    (folder / "workspace/roots/file").write_text("x")
    done = somebody.type("worker", "recover")
    assert done.returncode == 0, done.stderr
    assert "cannot remove" in done.stdout
    assert somebody.type("history").returncode == 0


@pytest.mark.acceptance
def test_files_of_tensors_are_looked_into(somebody: Somebody) -> None:
    script = "import os, torch; torch.save({'w': torch.tensor(list(os.urandom(8)))}, 'model.pt')"
    job = write_job(somebody.home / "tensors", script)
    subprocess.run(["chown", "-R", f"{somebody.name}:", job.parent], check=True)
    done = somebody.type("submit", str(job), "--twice", "--json")
    (found,) = json.loads(done.stdout)["verdict"]["contents"]
    assert (found["error"], found["differing"]) == (None, 1)
    assert attempts(somebody) == []
