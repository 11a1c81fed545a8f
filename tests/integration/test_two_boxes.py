"""Two boxes = two Docker Engines, each with its own data in its own network namespace; one registry, one
Postgres, one store: what "rerun by image digest on another GPU box" means.
"""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.altered import flip_file
from support.box import Outcome, forget_base, stored, write_job
from support.services import PostgresServer, RegistryServer, SecondEngine, postgres_server
from support.team import FINAL, Team, team_of

from orchestrator.settings import Settings

pytestmark = [pytest.mark.engine, pytest.mark.acceptance]

SCRIPT = """
import random, sys
open('x.txt', 'w').write(sys.argv[1] + ' ' + str(random.random()))
"""
SPEC = 'name: two\nbase: cpu\ncommand: [python, main.py, "{word}"]\nparams: {word: first}\nseed: 5\n'


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    """Its own: it is stopped under the others' feet."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def team(
    tmp_path: Path,
    shared_base: Settings,
    hub: RegistryServer,
    database: PostgresServer,
    engines: tuple[SecondEngine, SecondEngine],
) -> Iterator[Team]:
    name = f"t{secrets.token_hex(6)}"
    database.sql(f"CREATE DATABASE {name}")
    with team_of(tmp_path, shared_base, database.url(name), hub, engines) as made:
        forget_base(made.beta)
        yield made


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = write_job(tmp_path / "job", SCRIPT)
    path.write_text(SPEC)
    return path


def blobs_read(hub: RegistryServer, since: int = 0) -> list[str]:
    """Digests of the blobs that were asked for, after the first `since` requests."""
    asked = hub.requests()[since:]
    return [one.path.rsplit("/", 1)[1] for one in asked if one.method == "GET" and "/blobs/" in one.path]


def all_containers(engines: tuple[SecondEngine, SecondEngine]) -> list[str]:
    names = []
    for engine in engines:
        command = ["docker", "-H", engine.host, "ps", "--all", "--format", "{{.Names}}"]
        names += subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return names


def test_a_digest_of_one_box_is_rerun_on_the_other_which_pulls_what_it_lacks(
    team: Team, spec: Path, hub: RegistryServer, engines: tuple[SecondEngine, SecondEngine]
) -> None:
    # On box A itself, by A's engine.
    first = team.alpha.json("submit", str(spec))
    assert first["state"] == "succeeded"
    # From a shell without any Docker, to box A.
    team.worker(team.alpha)
    second = team.person.json("submit", str(spec), "-p", "word=second", "--on", "alpha")
    assert (second["state"], second["box_name"]) == ("succeeded", "alpha")
    assert second["box"] == first["box"]

    # On box B, which has an empty engine and nothing but the digest: it pulls the base, once.
    asked = len(hub.requests())
    again = team.beta.json("rerun", first["image"])
    assert again["verdict"]["outcome"] == "identical"
    assert again["run"]["outputs"] == first["outputs"]
    assert again["run"]["box"] != first["box"]
    pulled = blobs_read(hub, asked)
    base = [layer["digest"] for layer in first_layers(team, first["image"], "base")]
    assert set(base) <= set(pulled)
    assert len(pulled) == len(set(pulled)), "no blob twice"

    # Another parameter is another digest, and all that B lacks of it is its config.
    asked = len(hub.requests())
    team.worker(team.beta)
    other = team.person.json("rerun", second["image"], "--elsewhere")
    assert other["verdict"]["outcome"] == "identical"
    assert other["run"]["box_name"] == "beta"
    assert len(set(blobs_read(hub, asked)) - {config_of(team, second["image"])}) == 0
    assert all_containers(engines) == []


def first_layers(team: Team, digest: str, kind: str) -> list[dict[str, Any]]:
    return [layer for layer in team.alpha.json("image", "show", digest)["layers"] if layer["kind"] == kind]


def config_of(team: Team, digest: str) -> str:
    return str(team.alpha.json("image", "show", digest)["config_digest"])


def test_a_byte_flipped_in_the_store_or_the_registry_is_named(
    team: Team, spec: Path, hub: RegistryServer, tmp_path: Path
) -> None:
    run = team.alpha.json("submit", str(spec), "-p", f"word=w{secrets.token_hex(4)}")
    # The store: an output on its way to a person.
    (output,) = run["outputs"]
    flip_file(stored(tmp_path / "store", output["digest"]))
    copied = team.person.type("outputs", run["id"], "--to", str(tmp_path / "copy"))
    assert copied.code == 5
    assert output["digest"] in copied.err
    assert not list((tmp_path / "copy").glob("*.txt"))
    # The registry: the source layer on its way to box B.
    (source,) = first_layers(team, run["image"], "source")
    hub.flip(source["digest"])
    try:
        again = team.beta.type("rerun", run["image"])
    finally:
        hub.flip(source["digest"])
    assert again.code == 5
    assert source["digest"] in again.err
    (refused,) = [line for line in team.person.json("history")["runs"] if line["id"] != run["id"]]
    assert (refused["state"], refused["failure"]) == ("failed", "infrastructure")
    assert team.person.json("show", refused["id"])["outputs"] == []


def test_postgres_and_the_registry_go_away_under_50_submissions_and_their_runs(
    team: Team,
    spec: Path,
    hub: RegistryServer,
    database: PostgresServer,
    engines: tuple[SecondEngine, SecondEngine],
) -> None:
    """Both are killed and come back, several times; 10 of the 50 runs are waited for by their people."""
    team.worker(team.alpha, "--slots", "2")
    team.worker(team.beta, "--slots", "2")

    def submit(number: int) -> Outcome:
        words = ["-p", f"word=n{number}", "--key", f"key-{number}", "--on", "worker", "-q"]
        words += [] if number < 10 else ["--detach"]
        return team.person.type("submit", str(spec), *words, timeout=400)

    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(submit, number) for number in range(50)]
        for _ in range(4):
            time.sleep(4)
            database.stop("immediate")
            time.sleep(1.5)
            database.start()
            time.sleep(4)
            hub.stop()
            time.sleep(2)
            hub.start()
        done = [one.result() for one in waiting]
    assert [(one.code, one.err) for one in done if one.code != 0] == []
    runs = [one.out.strip() for one in done]
    assert len(set(runs)) == 50
    shown: list[dict[str, Any]] = [team.until(run, *FINAL, seconds=300) for run in runs]
    lines = team.person.json("history", "--limit", "1000")["runs"]
    assert sorted(line["id"] for line in lines) == sorted(runs), "none lost, none twice"
    assert {run["state"] for run in shown} == {"succeeded"}, [run["message"] for run in shown]
    for number, run in enumerate(shown):
        assert run["program"]["params"] == {"word": f"n{number}"}
        assert [output["path"] for output in run["outputs"]] == ["x.txt"]
    assert all_containers(engines) == []
