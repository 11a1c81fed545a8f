"""Images travel through a registry: two homes, and an engine that has nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from support.box import Box, forget_base, make_box, small_job
from support.services import RegistryServer, SecondEngine, Wire, engine_server, registry_server, wire_to

from orchestrator.digest import Digest, canonical_json
from orchestrator.record.record import open_record
from orchestrator.record.run_record import HistoryFilter
from orchestrator.run.attempt_model import State

pytestmark = pytest.mark.engine

NO_ENGINE = "unix:///nowhere/docker.sock"
SCRIPT = "import random; open('x.txt', 'w').write('{} ' + str(random.random()))"
SMALL = 64 << 10  # bytes: less than any layer of a base or wheel, more than manifests and their requests


@pytest.fixture
def wire(hub: RegistryServer) -> Iterator[Wire]:
    with wire_to(hub.port) as made:
        yield made


@pytest.fixture
def here(tmp_path: Path, small: Box, hub: RegistryServer) -> Box:
    return make_box(tmp_path / "here", small.settings, REPRISE_REGISTRY=hub.place("team/reprise"))


@pytest.fixture
def there(tmp_path: Path, here: Box, wire: Wire) -> Box:
    """Another home, with nothing of the base but its pin; the record is the first one's."""
    url = f"sqlite:///{here.settings.home / 'reprise.db'}"
    return bare_box(tmp_path / "there", here, wire.place("team/reprise"), REPRISE_DATABASE_URL=url)


def bare_box(home: Path, like: Box, registry: str, **variables: str) -> Box:
    return forget_base(make_box(home, like.settings, REPRISE_REGISTRY=registry, **variables))


def blobs(box: Box) -> Path:
    return box.settings.layout / "blobs" / "sha256"


def held(box: Box) -> int:
    """Bytes of the box's layout."""
    return sum(path.stat().st_size for path in blobs(box).iterdir())


def forget(digest: str) -> None:
    """Take an image out of this machine's engine."""
    tag = f"reprise:{digest.removeprefix('sha256:')}"
    subprocess.run(["docker", "rmi", "--force", tag], check=True, capture_output=True)


def layers(box: Box, spec: Path, kind: str) -> list[dict[str, Any]]:
    document = box.json("build", str(spec))
    return [layer for layer in document["layers"] if layer["kind"] == kind]


def test_without_any_docker_a_job_is_built_and_pushed_and_looked_at(
    here: Box, there: Box, wire: Wire, tmp_path: Path
) -> None:
    spec = small_job(tmp_path / "job", SCRIPT.format("one"))
    pushed = here.type("build", "--push", str(spec), DOCKER_HOST=NO_ENGINE)
    assert pushed.code == 0, pushed.err
    digest = pushed.out.split()[-1]
    shown = there.type("image", "show", digest, "--json", DOCKER_HOST=NO_ENGINE)
    assert shown.code == 0, shown.err
    assert shown.json["digest"] == digest
    assert shown.json["program"]["name"] == "test"
    assert held(there) == 0, "looking stores nothing"

    told = there.type("doctor", "--json", DOCKER_HOST=NO_ENGINE)
    (base,) = (check for check in told.json["checks"] if check["name"] == "base")
    assert base["ok"] is True, "what it needs of the base is in the registry"

    # With the pin alone, another machine without an engine assembles the same image over the same base.
    built = there.type("build", "--push", str(spec), DOCKER_HOST=NO_ENGINE)
    assert built.code == 0, built.err
    assert built.out.split()[-1] == digest
    assert wire.up + wire.down < SMALL, "and finds that it is there already"


def test_a_rerun_by_digest_elsewhere_pulls_what_is_lacking_and_is_identical(
    here: Box, there: Box, wire: Wire, tmp_path: Path
) -> None:
    spec = small_job(tmp_path / "job", SCRIPT.format("two"))
    run = here.json("submit", str(spec))
    forget(run["image"])
    before = held(there)
    again = there.json("rerun", run["image"])
    assert again["verdict"]["outcome"] == "identical"
    assert again["run"]["outputs"] == run["outputs"]
    own = sum(layers(here, spec, kind)[0]["size"] for kind in ("runtime", "source"))
    assert own < held(there) - before < own + SMALL // 4, "the base stays where it is"
    assert own < wire.down < own + SMALL

    # A change of code moves the source's layer, and what names it.
    (spec.parent / "main.py").write_text(SCRIPT.format("three") + "\n")
    changed = here.json("submit", str(spec))
    forget(changed["image"])
    down = wire.down
    assert there.json("rerun", changed["image"])["verdict"]["outcome"] == "identical"
    (source,) = layers(here, spec, "source")
    assert source["size"] < wire.down - down < source["size"] + SMALL // 2


def test_a_queued_run_is_executed_by_a_box_that_has_nothing_of_it(
    here: Box, there: Box, tmp_path: Path
) -> None:
    """As a worker will do it: the record knows the run, only the registry has the image."""
    spec = small_job(tmp_path / "job", SCRIPT.format("four"))
    killed = here.type("submit", str(spec), REPRISE_CRASH_AT="queued")
    assert killed.code != 0
    with open_record(here.settings) as record:  # not by a verb: that would take the run over at once
        (line,) = record.history.lines(HistoryFilter())
    assert line.state is State.QUEUED
    forget(line.image)
    done = there.type("execute", line.id)
    assert done.code == 0, done.err
    assert there.json("show", line.id)["state"] == "succeeded"


@pytest.fixture(scope="module")
def empty_engine() -> Iterator[SecondEngine]:
    with engine_server("empty") as engine:
        yield engine


def test_an_engine_without_the_base_gets_it_from_the_registry(
    here: Box, tmp_path: Path, wire: Wire, empty_engine: SecondEngine
) -> None:
    spec = small_job(tmp_path / "job", SCRIPT.format("five"))
    run = here.json("submit", str(spec))
    url = f"sqlite:///{here.settings.home / 'reprise.db'}"
    variables = {"REPRISE_DATABASE_URL": url, "DOCKER_HOST": empty_engine.host}
    far = bare_box(tmp_path / "far", here, wire.place("team/reprise"), **variables)
    again = far.json("rerun", run["image"])
    assert again["run"]["outputs"] == run["outputs"]
    base = sum(layer["size"] for layer in layers(here, spec, "base"))
    assert base < wire.down < base + (1 << 20)
    # It has the base now, and so the next one brings its source only.
    (spec.parent / "main.py").write_text(SCRIPT.format("six") + "\n")
    changed, down = here.json("submit", str(spec)), wire.down
    assert far.json("rerun", changed["image"])["run"]["outputs"] == changed["outputs"]
    assert wire.down - down < SMALL


def test_a_base_is_mounted_for_another_team(here: Box, hub: RegistryServer, tmp_path: Path) -> None:
    spec = small_job(tmp_path / "job", SCRIPT.format("seven"))
    here.json("build", "--push", str(spec))
    before = len(hub.requests())
    other = here.type("build", "--push", str(spec), REPRISE_REGISTRY=hub.place("other/team"))
    assert other.code == 0, other.err
    asked = hub.requests()[before:]
    assert {one.status for one in asked if "mount=" in one.path} == {201}
    assert not [one for one in asked if one.method == "PATCH"], "no large blob was sent"


@pytest.mark.parametrize(
    "which", [*(pytest.param(one, marks=pytest.mark.acceptance) for one in ("source", "config")), "manifest"]
)
def test_a_byte_flipped_in_the_registry_is_found_and_nothing_wrong_is_recorded(
    here: Box, there: Box, hub: RegistryServer, tmp_path: Path, which: str
) -> None:
    spec = small_job(tmp_path / "job", SCRIPT.format(f"flip {which}"))
    run = here.json("submit", str(spec))
    forget(run["image"])
    bad = {"config": run["config_digest"], "manifest": run["image"]}.get(which)
    bad = bad or layers(here, spec, "source")[0]["digest"]
    hub.flip(bad)
    outcome = there.type("rerun", run["image"])
    assert outcome.code == 5, outcome.err
    assert bad in outcome.err
    assert not (blobs(there) / bad.removeprefix("sha256:")).exists()
    runs = there.json("history")["runs"]
    assert [(line["state"], line["failure"]) for line in runs] == [
        ("failed", "infrastructure"),
        ("succeeded", None),
    ]
    assert all(line["verdict"] is None for line in runs)


def test_a_registry_that_is_away_is_an_error_and_nothing_is_recorded(here: Box, tmp_path: Path) -> None:
    spec = small_job(tmp_path / "job", SCRIPT.format("eight"))
    with registry_server() as gone:
        place = gone.place("team/reprise")
    outcome = here.type("submit", str(spec), REPRISE_REGISTRY=place)
    assert outcome.code == 5
    assert gone.host in outcome.err
    assert "Traceback" not in outcome.err
    assert here.json("history")["runs"] == []
    checks = {check["name"]: check for check in here.json("doctor")["checks"]}
    assert checks["registry"]["ok"] is True
    doctor = here.type("doctor", "--json", REPRISE_REGISTRY=place)
    assert doctor.code == 5
    (wrong,) = (check for check in doctor.json["checks"] if check["ok"] is False)
    assert wrong["name"] == "registry"
    assert gone.host in wrong["detail"]


@pytest.mark.parametrize("words", [("rerun",), ("image", "show")])
def test_a_digest_that_nobody_has_is_an_error_of_usage(here: Box, words: tuple[str, ...]) -> None:
    nobody = here.type(*words, Digest.of(b"nobody"))
    assert nobody.code == 2
    assert "nor has" in nobody.err
    part = here.type(*words, "sha256:0123456789abcdef")
    assert part.code == 2
    assert "64 digits" in part.err


@pytest.mark.parametrize("words", [("build", "--push"), ("submit",)])
def test_a_registry_that_is_none_is_an_error_of_usage(
    here: Box, tmp_path: Path, words: tuple[str, ...]
) -> None:
    spec = small_job(tmp_path / "job", "pass")
    for place in ("reprise", "registry.example.org/team:latest"):
        outcome = here.type(*words, str(spec), REPRISE_REGISTRY=place)
        assert outcome.code == 2
        assert "REPRISE_REGISTRY" in outcome.err
    unset = here.type("build", "--push", str(spec), REPRISE_REGISTRY="")
    assert unset.code == 2
    assert "no registry is set" in unset.err


def test_an_index_leads_to_its_platforms_image(
    here: Box, there: Box, hub: RegistryServer, tmp_path: Path
) -> None:
    spec = small_job(tmp_path / "job", SCRIPT.format("nine"))
    digest = here.json("build", "--push", str(spec))["digest"]
    media = "application/vnd.oci.image.index.v1+json"
    size = (blobs(here) / digest.removeprefix("sha256:")).stat().st_size
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest,
        "size": size,
        "platform": {"os": "linux", "architecture": "amd64"},
    }
    index = canonical_json({"schemaVersion": 2, "mediaType": media, "manifests": [entry]})
    url = f"http://{hub.host}/v2/team/reprise/manifests/{Digest.of(index)}"
    done = requests.put(url, data=index, headers={"Content-Type": media}, timeout=60)
    assert done.status_code == 201
    run = there.json("rerun", Digest.of(index))["run"]
    assert run["image"] == digest, "recorded is what ran"
    assert run["state"] == "succeeded"


def test_a_cable_that_breaks_under_submit_and_rerun(
    here: Box, there: Box, wire: Wire, tmp_path: Path
) -> None:
    """The cable breaks in the middle of the source, each way."""
    spec = small_job(tmp_path / "job", SCRIPT.format("ten"))
    (spec.parent / "noise.bin").write_bytes(os.urandom(3 << 20))
    wire.cut_up = 2 << 20
    run = here.type("submit", str(spec), "--json", REPRISE_REGISTRY=wire.place("team/reprise"))
    assert run.code == 0, run.err
    assert wire.cut_up is None
    forget(run.json["image"])
    wire.cut_down = wire.down + (2 << 20)
    assert there.json("rerun", run.json["image"])["verdict"]["outcome"] == "identical"
    assert wire.cut_down is None
