"""The RO-Crate of a real run, and in the opt-in suite what a validator not written here says of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.bill_of_materials import fault
from support.box import Box, git, make_box, stored, write_job
from support.programs import ran

from orchestrator.digest import Digest
from orchestrator.settings import Settings

pytestmark = pytest.mark.engine
SCRIPT = r"""
import json, os, random
data = open('/inputs/set/part one.csv').read() + open('/inputs/one').read()
os.makedirs('out dir')
open('out dir/ä b%#?.txt', 'w').write(data + str(random.random()))
open('a\\..\\b:c', 'w').write('odd')
open('one copy', 'w').write(open('/inputs/one').read())
os.symlink('/etc/passwd', 'link')
json.dump({'accuracy': random.random(), 'odd/name': float('nan')}, open('metrics.json', 'w'))
print('hello')
"""
EXTRA = """
params: {lr: 0.1, big: true, n: 3, act: relu}
env: {FOO: bar}
inputs: {set: data:parts, one: {path: one.txt}}
"""
LONG = "0123456789" * 30_000  # more than is held of a source file
LICENCE = "https://spdx.org/licenses/CC0-1.0"
PROFILES = ("workflow-run-crate", "process-run-crate")


class Crate(NamedTuple):
    box: Box
    run: str
    folder: Path  # without the inputs
    zipped: Path  # with them
    again: Path  # with them, of a rerun that took one of them from the first run


@pytest.fixture(scope="module")
def crate(tmp_path_factory: pytest.TempPathFactory, shared_base: Settings) -> Crate:
    here = tmp_path_factory.mktemp("crate")
    box = make_box(here / "home", shared_base)
    spec = write_job(here / "job", SCRIPT, EXTRA)
    (here / "data").mkdir()
    (here / "data" / "part one.csv").write_text("a,b\n")
    box.json("data", "add", str(here / "data"), "--name", "parts")
    (spec.parent / "one.txt").write_text("one\n")
    (spec.parent / "long.txt").write_text(LONG)
    git(spec.parent, "init", "--quiet")
    git(spec.parent, "add", ".")
    git(spec.parent, "commit", "--quiet", "-m", "a job")
    (spec.parent / "main.py").write_text(SCRIPT + "# dirty\n")
    run = box.json("submit", str(spec))["id"]
    again = box.json("rerun", run, "--input", f"one=run:{run}/one copy")
    assert again["verdict"]["outcome"] == "identical"
    box.json("export", "--format", "ro-crate", again["run"]["id"], str(here / "again"), "--inputs")
    told = box.json("export", "--format", "ro-crate", run, str(here / "crate"))
    assert told["left_out"] == ["output link (symlink to /etc/passwd)"]
    box.json("export", "--format", "ro-crate", run, str(here / "crate.zip"), "--inputs", "--licence", LICENCE)
    return Crate(box, run, here / "crate", here / "crate.zip", here / "again")


def graph(folder: Path) -> dict[str, Any]:
    document = json.loads((folder / "ro-crate-metadata.json").read_text(encoding="utf-8"))
    return {one["@id"]: one for one in document["@graph"]}


def test_it_holds_the_runs_bytes_and_says_so(crate: Crate) -> None:
    found = graph(crate.folder)
    names = {one.relative_to(crate.folder).as_posix() for one in crate.folder.rglob("*") if one.is_file()}
    odd = {"outputs/a%5C..%5Cb%3Ac", "outputs/out dir/ä b%25#%3F.txt"}
    fixed = {"ro-crate-metadata.json", "program.json", "log.txt", "outputs/metrics.json", "outputs/one copy"}
    assert odd | fixed <= names
    assert names - odd - fixed == {"source.patch", "source/main.py", "source/long.txt"}
    assert (crate.folder / "source" / "long.txt").read_text() == LONG
    assert "+# dirty" in (crate.folder / "source.patch").read_text()
    assert "source.patch" in found["#git"]["description"]
    assert (crate.folder / "log.txt").read_text() == "hello\n"
    recorded = {one["path"]: one["digest"] for one in crate.box.json("show", crate.run)["outputs"]}
    told = {one["name"]: one["sha256"] for at, one in found.items() if at.startswith("outputs/")}
    assert {path: f"sha256:{sha256}" for path, sha256 in told.items()} == {
        path: digest for path, digest in recorded.items() if path != "link"
    }
    assert Digest.of_file(crate.folder / "outputs/out dir/ä b%25#%3F.txt") == recorded["out dir/ä b%#?.txt"]
    assert found["#verdict/0"]["name"].startswith("identical: rerun ")
    made = crate.box.json("origin", str(crate.folder / "outputs" / "metrics.json"))["files"][0]["made_by"]
    assert crate.run in {one["run"] for one in made}


def test_inputs_say_which_data_they_are_and_which_run_made_them(crate: Crate) -> None:
    found = graph(crate.again)
    assert (crate.again / "inputs" / "set" / "part one.csv").read_text() == "a,b\n"
    assert found["inputs/set/"]["identifier"] == "data:parts@1"
    maker = found[f"#run/{crate.run}"]
    assert maker["result"] == {"@id": "inputs/one"}
    assert f"run:{crate.run}/one copy" in maker["description"]
    assert graph(crate.folder)["#input/set"]["alternateName"] == "parts", "which has not the data"


def test_the_same_run_gives_the_same_file_and_an_altered_store_none(crate: Crate, tmp_path: Path) -> None:
    box, run = crate.box, crate.run
    box.json(
        "export", "--format", "ro-crate", run, str(tmp_path / "again.zip"), "--inputs", "--licence", LICENCE
    )
    assert (tmp_path / "again.zip").read_bytes() == crate.zipped.read_bytes()
    refused = box.type("export", "--format", "ro-crate", run, str(tmp_path / "again.zip"))
    assert refused.code == 2
    assert "--force" in refused.err
    blob = stored(box.settings.store, Digest.of_file(crate.folder / "outputs" / "metrics.json"))
    bytes_before = blob.read_bytes()
    try:
        blob.chmod(0o644)
        blob.write_bytes(bytes_before.replace(b"accuracy", b"Accuracy"))
        spoilt = box.type("export", "--format", "ro-crate", run, str(tmp_path / "spoilt"))
        assert spoilt.code == 5
        assert "metrics.json has other bytes" in spoilt.err
        assert not (tmp_path / "spoilt").exists()
    finally:
        blob.write_bytes(bytes_before)


def test_the_bill_of_materials_of_its_image_is_valid_and_whole(crate: Crate) -> None:
    shown = crate.box.json("show", crate.run)
    told = crate.box.type("image", "sbom", crate.run)
    assert told.code == 0, told.err
    assert fault(told.out) is None
    listed = {one["name"]: one["version"] for one in told.json["components"] if one["type"] == "library"}
    assert listed == shown["packages"]
    assert crate.box.type("image", "sbom", shown["image"]).out == told.out


# The validator asks for the context of RO-Crate 1.1 over the network. It is put into its cache, from the copy
# that comes with the package rocrate; anything else that it asked for would be missed, and is said.
WARM = """
import io, sys
from importlib.resources import files
import requests, requests_cache, urllib3

class Local(requests.adapters.BaseAdapter):
    def send(self, request, **how):
        data = files("rocrate").joinpath("data/ro-crate.jsonld").read_bytes()
        answer = requests.Response()
        answer.status_code, answer.url, answer.request = 200, request.url, request
        answer.headers["Content-Type"] = "application/ld+json"
        answer.raw = urllib3.HTTPResponse(io.BytesIO(data), answer.headers, 200, preload_content=False)
        return answer
    def close(self):
        pass

session = requests_cache.CachedSession(sys.argv[1], backend="sqlite", expire_after=-1)
session.mount("https://", Local())
document = session.get("https://w3id.org/ro/crate/1.1/context").json()
assert document["@id"] == "https://w3id.org/ro/crate/1.1/context", document["@id"]
"""
Validate = Callable[[Path, str], tuple[bool, str]]


def tool(name: str) -> str:
    """A command of the virtual environment that `make acceptance` puts into ours, as a folder."""
    folder = os.environ.get("REPRISE_TEST_CRATE") or str(Path(sys.prefix) / "crate" / "bin")
    found = shutil.which(name, path=folder)
    if found is None:
        pytest.fail(f"no {name} in {folder}: `make acceptance` installs it")
    return found


@pytest.fixture(scope="module")
def validate(tmp_path_factory: pytest.TempPathFactory) -> Validate:
    cache = tmp_path_factory.mktemp("cache") / "http"
    subprocess.run([tool("python"), "-c", WARM, str(cache)], check=True)

    def run(target: Path, profile: str) -> tuple[bool, str]:
        options = ["--no-paging", "--verbose", "--offline", "--cache-path", str(cache)]
        words = ["--no-interactive", "--disable-color", "validate", *options, "-p", profile, str(target)]
        done = ran(tool("rocrate-validator"), *words, code=None, timeout=120)
        said = done.stdout + done.stderr
        assert done.returncode in (0, 1), said
        assert "cache miss" not in said, said
        valid = done.returncode == 0
        assert re.search(f"is {'a' if valid else 'not a'} valid {profile}", said), said
        return valid, said

    return run


@pytest.mark.acceptance
@pytest.mark.parametrize("profile", PROFILES)
def test_a_validator_not_written_here_finds_nothing(crate: Crate, validate: Validate, profile: str) -> None:
    for target in (crate.folder, crate.zipped, crate.again):
        valid, said = validate(target, profile)
        assert valid, said


@pytest.mark.acceptance
def test_that_validator_finds_what_is_wrong(crate: Crate, validate: Validate, tmp_path: Path) -> None:
    text = (crate.folder / "ro-crate-metadata.json").read_text(encoding="utf-8")
    spoilt = {
        "another profile": text.replace("ro/wfrun/workflow/", "ro/wfrun/other/"),
        "no instrument": text.replace('"instrument"', '"about"'),
        "no such type": text.replace('"ComputerLanguage"', '"Thing"'),
        "a parameter without a type": text.replace('"additionalType": "Float"', '"description": "Float"'),
        "a file that is not there": text.replace("outputs/metrics.json", "outputs/metrics2.json"),
    }
    for number, (what, other) in enumerate(spoilt.items()):
        assert other != text, what
        copy = tmp_path / str(number)
        shutil.copytree(crate.folder, copy)
        (copy / "ro-crate-metadata.json").write_text(other, encoding="utf-8")
        assert not validate(copy, "workflow-run-crate")[0], what


@pytest.mark.acceptance
def test_a_reader_not_written_here_reads_it(crate: Crate) -> None:
    script = """
import json, sys
from rocrate.rocrate import ROCrate
crate = ROCrate(sys.argv[1])
(action,) = [one for one in crate.contextual_entities if one.type == "CreateAction"]
print(json.dumps({
    "main": crate.mainEntity.id,
    "values": {one["name"]: one["value"] for one in action["object"] if one.type == "PropertyValue"},
    "results": sorted(one["name"] for one in action["result"]),
    "image": action["containerImage"]["sha256"],
}))
"""
    done = ran(tool("python"), "-c", script, str(crate.zipped))
    read = json.loads(done.stdout)
    assert read["main"] == "program.json"
    assert read["values"] == {"act": "relu", "big": True, "lr": 0.1, "n": 3, "seed": 0}
    names = ["a\\..\\b:c", "accuracy", "metrics.json", "odd/name", "one copy", "out dir/ä b%#?.txt"]
    assert read["results"] == names
    assert read["image"] == crate.box.json("show", crate.run)["image"].removeprefix("sha256:")
