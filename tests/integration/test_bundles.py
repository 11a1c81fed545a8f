"""A file takes a job to a box that shares nothing with the first: no record, registry or network."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.box import Box, small_job
from support.programs import ran
from support.services import SecondEngine, engine_server

from orchestrator.settings import load

pytestmark = pytest.mark.engine

DEAD = "http://127.0.0.1:9/team/reprise"  # a registry that is stopped
NO_ENGINE = "unix:///nowhere/docker.sock"
SCRIPT = """
import json, random
data = open('/inputs/set/part/one.csv').read()
open('x.txt', 'w').write(data + str(random.random()))
json.dump({'accuracy': random.random()}, open('metrics.json', 'w'))
"""


@pytest.fixture(scope="module")
def far_engine() -> Iterator[SecondEngine]:
    with engine_server("far") as engine:
        yield engine


def bare(home: Path, host: str) -> Box:
    """A home with nothing in it, not even a base's pin; the registry that it knows is stopped."""
    return Box(load({"REPRISE_HOME": str(home)}), {"DOCKER_HOST": host, "REPRISE_REGISTRY": DEAD})


@pytest.fixture
def far(tmp_path: Path, far_engine: SecondEngine) -> Box:
    return bare(tmp_path / "far", far_engine.host)


def rows(box: Box) -> list[str]:
    """Every row of the record."""
    import sqlite3

    with sqlite3.connect(box.settings.home / "reprise.db") as database:
        return list(database.iterdump())


def files(box: Box) -> dict[str, tuple[int, int]]:
    """Not their times: a blob that is met again is young again."""
    home = box.settings.home
    found = (path for path in home.rglob("*") if path.is_file() and "reprise.db" not in path.name)
    return {str(path): (path.stat().st_ino, path.stat().st_size) for path in found}


def test_a_file_is_all_that_another_box_needs(
    small: Box, far: Box, far_engine: SecondEngine, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    (data / "part").mkdir(parents=True)
    (data / "part" / "one.csv").write_text("1,2,3")
    spec = small_job(tmp_path / "job", SCRIPT, f"inputs: {{set: {{path: {data}}}}}")
    run = small.json("submit", str(spec))
    digest = run["image"]
    judged = small.json("rerun", digest)
    assert judged["verdict"]["outcome"] == "identical"
    whole, thin = tmp_path / "whole.tar", tmp_path / "thin.tar"
    assert small.json("export", digest, str(whole), "--inputs")["runs"] == [run["id"], judged["run"]["id"]]
    shutil.rmtree(data)
    shutil.rmtree(spec.parent)

    done = far.json("import", str(whole))
    assert [one["new"] for one in done["runs"]] == [True, True]
    assert done["image"] == digest
    before = rows(far), files(far)
    again = far.json("import", str(whole))
    assert [one["new"] for one in again["runs"]] == [False, False]
    assert (rows(far), files(far)) == before

    # Image, original, inputs: all of it from the file.
    rerun = far.json("rerun", digest)
    assert rerun["verdict"]["outcome"] == "identical"
    assert rerun["verdict"]["original"] == run["id"]
    assert rerun["run"]["outputs"] == run["outputs"]
    assert far.json("audit", "--only", "verdicts", judged["run"]["id"])["findings"] == []
    shown = far.json("show", run["id"])
    assert shown["metrics"] == run["metrics"]
    assert shown["box"] == run["box"]

    # Changed code: the base is there, so a thin file will do, for a home that has the engine only, too.
    spec = small_job(tmp_path / "next", "open('y.txt', 'w').write('next')")
    changed = small.json("submit", str(spec))
    small.json("export", changed["id"], str(thin), "--thin")
    assert thin.stat().st_size < 1 << 20
    third = bare(tmp_path / "third", far_engine.host)
    for box in (far, third):
        assert [one["new"] for one in box.json("import", str(thin))["runs"]] == [True]
        assert box.json("rerun", changed["image"])["verdict"]["outcome"] == "identical"
    nothing = bare(tmp_path / "nothing", NO_ENGINE).type("import", str(thin), REPRISE_REGISTRY="")
    assert nothing.code == 5
    assert f"the base os {changed['base']['digest']}, and this box lacks it" in nothing.err

    # As engines read it: into this machine's, which must not know the image before.
    tag = f"reprise:{changed['image'].removeprefix('sha256:')}"
    for path in (thin, whole):
        subprocess.run(["docker", "rmi", "--force", tag], check=False, capture_output=True)
        loaded = ran("docker", "load", "-i", str(path))
        tag = loaded.stdout.split("Loaded image:")[1].split()[0].rpartition("/")[2]
        wanted = changed if path is thin else run
        assert tag == f"reprise:{wanted['image'].removeprefix('sha256:')}"
        (there,) = json.loads(ran("docker", "inspect", tag).stdout)
        assert there["Id"] in (wanted["config_digest"], wanted["image"])
        layers = small.json("image", "show", wanted["image"])["layers"]
        assert there["RootFS"]["Layers"] == [one["diff_id"] for one in layers]


@pytest.fixture(scope="module")
def bundle(small: Box, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("readers")
    run = small.json("submit", str(small_job(folder / "job", "open('x.txt', 'w').write('x')")))
    small.json("export", run["image"], str(folder / "b.tar"))
    return folder / "b.tar", run


def tool(name: str, *words: str) -> str:
    if shutil.which(name) is None:
        pytest.fail(f"{name} is not installed: `make acceptance` does it")
    done = subprocess.run([name, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{name} {' '.join(words)}: {done.stderr}"
    return done.stdout


@pytest.mark.acceptance
def test_skopeo_reads_the_image_in_it(bundle: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    path, run = bundle
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci-archive:{path}"], capture_output=True, check=True
    )
    assert hashlib.sha256(raw.stdout).hexdigest() == run["image"].removeprefix("sha256:")
    tool("skopeo", "copy", "--insecure-policy", "--quiet", f"oci-archive:{path}", f"dir:{tmp_path / 'dir'}")
    manifest = (tmp_path / "dir" / "manifest.json").read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == run["image"].removeprefix("sha256:")
    for item in (json.loads(manifest)["config"], *json.loads(manifest)["layers"]):
        name = item["digest"].removeprefix("sha256:")
        assert hashlib.sha256((tmp_path / "dir" / name).read_bytes()).hexdigest() == name
    assert json.loads(tool("skopeo", "inspect", f"docker-archive:{path}"))["Os"] == "linux"


@pytest.mark.acceptance
def test_podman_loads_the_image_in_it_under_its_digest(bundle: tuple[Path, dict[str, Any]]) -> None:
    path, run = bundle
    folder = Path(tempfile.mkdtemp(prefix="podman-"))  # podman takes no path of more than 50 characters
    own = ("--root", f"{folder}/root", "--runroot", f"{folder}/run")
    try:
        said = tool("podman", *own, "load", "--quiet", "--input", str(path))
        assert f"reprise:{run['image'].removeprefix('sha256:')}" in said
        (there,) = json.loads(tool("podman", *own, "image", "inspect", said.split()[-1]))
        assert there["Digest"] == run["image"]
        assert f"sha256:{there['Id']}" == run["config_digest"]
    finally:
        subprocess.run(["podman", *own, "rmi", "--all", "--force"], check=False, capture_output=True)
        subprocess.run(["umount", f"{folder}/root/overlay"], check=False, capture_output=True)
        shutil.rmtree(folder)
