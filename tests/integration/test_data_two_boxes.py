"""Data on one person's disk; two boxes with an engine each, one Postgres, one registry, a folder or S3."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.altered import flip_file
from support.box import Box, Outcome, forget_base, small_job, stored
from support.services import PostgresServer, RegistryServer, S3Server, SecondEngine
from support.team import FINAL, Team, team_of

from orchestrator.digest import Digest
from orchestrator.launch.crash_points import VARIABLE
from orchestrator.launch.inputs import fetch_input, upload_input
from orchestrator.launch.inputs.input_cache import InputCache
from orchestrator.spec.inputs import digest_of
from orchestrator.spec.known_hashes import KnownHashes

pytestmark = [pytest.mark.engine, pytest.mark.acceptance]

COUNT = """
import hashlib, json, pathlib
whole = hashlib.sha256()
found = sorted(path for path in pathlib.Path('/inputs/data').rglob('*') if path.is_file())
for path in found:
    whole.update(path.read_bytes())
json.dump({'files': len(found), 'sha256': whole.hexdigest()}, open('seen.json', 'w'))
"""
FILES = upload_input.PART_FILES + 100  # small ones: a kill after the first part is in the middle
LARGE = 70 << 20  # bytes of one more: it is fetched by itself


@dataclass
class World:
    team: Team
    store: Path  # the folder with its files
    s3: S3Server | None

    def blobs(self) -> dict[str, tuple[int, int]]:
        """What tells whether a blob was written again: a folder store makes a new file, S3's a new time."""
        found = {path.name: path.stat() for path in self.store.glob("sha256/*/*")}
        return {name: (one.st_ino, one.st_mtime_ns if self.s3 else 0) for name, one in found.items()}

    def change(self, contents: Mapping[Digest, bytes | None]) -> None:
        """Blobs get other bytes, or go, behind everybody's back."""
        for digest, content in contents.items():
            stored(self.store, digest).unlink(missing_ok=True)
            if content is not None:
                stored(self.store, digest).write_bytes(content)
        if self.s3 is not None:
            self.s3.touched()

    def submit(self, spec: Path, *words: str, **environ: str) -> Outcome:
        return self.team.person.type(
            "submit", str(spec), "--on", "worker", "--detach", "-q", *words, timeout=600, **environ
        )


@pytest.fixture(params=["folder", "s3"])
def world(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    small: Box,
    hub: RegistryServer,
    postgres: PostgresServer,
    engines: tuple[SecondEngine, SecondEngine],
) -> Iterator[World]:
    s3, store, variables = None, tmp_path / "store", {}
    if request.param == "s3":
        s3 = request.getfixturevalue("s3")
        prefix = f"data/{secrets.token_hex(6)}"
        store, variables = s3.path(prefix), {"REPRISE_STORE": s3.address(prefix), **s3.environ}
    with team_of(tmp_path, small.settings, postgres.new_record(), hub, engines, **variables) as made:
        forget_base(made.beta)
        yield World(made, store, s3)


def names_of(coming: Path) -> dict[str, int]:
    """The files that came, and their inodes."""
    found = {path.name: path for path in coming.iterdir()} if coming.exists() else {}
    return {name: path.stat().st_ino for name, path in found.items() if len(name) == 64}


def cache_of(box: Box) -> InputCache:
    return InputCache(box.settings, KnownHashes(box.settings.home / "no-hashes.db"))


def make_data(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number in range(FILES):
        (folder / f"{number:05}.txt").write_text(f"{number} {secrets.token_hex(50)}")
    (folder / "z.bin").write_bytes(os.urandom(LARGE))
    return folder


def test_data_of_one_disk_is_fetched_once_by_each_box_whatever_is_killed(
    world: World, tmp_path: Path
) -> None:
    team = world.team
    data = make_data(tmp_path / "mine" / "data")
    folder, one = digest_of(data), Digest.of_file(data / "00001.txt")
    spec = small_job(tmp_path / "job", COUNT, f"inputs: {{data: {data}}}")

    # kill -9 amid the upload; the next command sends the rest.
    killed = world.submit(spec, **{VARIABLE: "input stored"})
    assert killed.code == -signal.SIGKILL, killed.err
    before = world.blobs()
    assert upload_input.PART_FILES <= len(before) < FILES and folder.hex not in before
    assert team.person.json("history")["runs"] == []
    done = world.submit(spec)
    assert done.code == 0, done.err
    run, after = done.out.strip(), world.blobs()
    assert before.items() <= after.items(), "what was there is not sent again"
    assert {folder.hex, Digest.of_file(data / "z.bin").hex} <= after.keys()
    shutil.rmtree(data)

    # kill -9 of the box's worker, and of its executors again and again, amid the fetch; it goes on.
    worker = team.alpha.start("worker", "start", "--name", "alpha", **{VARIABLE: "input fetched"})
    coming = cache_of(team.alpha).folder / "incoming" / folder.hex
    end = time.monotonic() + 180
    while len(came := names_of(coming)) < 100:
        assert time.monotonic() < end and worker.poll() is None
        time.sleep(0.05)
    worker.kill()
    worker.communicate()
    while came != (came := names_of(coming)):
        time.sleep(3)  # an executor that outlives the worker dies at its next file
    assert len(came) < FILES, "in the middle"
    team.worker(team.alpha)
    first = team.until(run, *FINAL, seconds=400)
    assert (first["state"], first["box_name"]) == ("succeeded", "alpha"), first
    kept = cache_of(team.alpha)
    new = {name for name, inode in came.items() if kept.file(name).stat().st_ino != inode}
    assert len(new) <= fetch_input.AT_ONCE, (
        "but for files that were half written, what came is not fetched again"
    )

    # Elsewhere, by the digest alone; and again, when the store has lost the data.
    team.worker(team.beta)
    image = str(first["image"])
    again = rerun(team, image, "--elsewhere")
    assert again.json["verdict"]["outcome"] == "identical"
    assert again.json["run"]["box_name"] == "beta" and again.json["run"]["box"] != first["box"]
    good = {digest: stored(world.store, digest).read_bytes() for digest in (folder, one)}
    world.change(dict.fromkeys(good))
    assert rerun(team, image, "--on", "beta").json["verdict"]["outcome"] == "identical"

    # A byte that changed in the cache, and then in the store, too.
    world.change(good)
    cached = cache_of(team.beta).tree(folder) / "00001.txt"
    flip_file(cached)
    assert rerun(team, image, "--on", "beta").json["verdict"]["outcome"] == "identical"
    assert cached.read_bytes() == good[one]
    flip_file(cached)
    world.change({one: b"X" + good[one][1:]})
    refused = rerun(team, image, "--on", "beta", code=5)
    assert one in refused.err and f"00001.txt of input {folder}" in refused.err, refused.err
    (bad,) = [line for line in team.person.json("history")["runs"] if line["state"] != "succeeded"]
    shown = team.person.json("show", bad["id"])
    assert (shown["state"], shown["failure"], shown["outputs"]) == ("failed", "infrastructure", [])
    world.change(good)
    assert rerun(team, image, "--on", "beta").json["verdict"]["outcome"] == "identical"


def rerun(team: Team, image: str, *words: str, code: int = 0) -> Outcome:
    done = team.person.type("rerun", image, *words, "--json", timeout=600)
    assert done.code == code, done.out + done.err
    return done


PREPARE = """
import os
os.makedirs('data/part')
for name in ('a', 'b'):
    open(f'data/part/{name}.txt', 'w').write(open('/inputs/raw/' + name).read() * 2)
"""
TRAIN = """
import json, pathlib
text = ''.join(path.read_text() for path in sorted(pathlib.Path('/inputs/data').rglob('*.txt')))
json.dump({'weights': text}, open('model.json', 'w'))
json.dump({'accuracy': 0.5}, open('metrics.json', 'w'))
"""
EVALUATE = """
import json
json.dump({'score': len(json.load(open('/inputs/weights'))['weights'])}, open('report.json', 'w'))
"""


def test_a_pipeline_whose_last_run_is_rerun_by_digest_on_the_other_box(world: World, tmp_path: Path) -> None:
    """All three run on one box, and were submitted from a shell without an engine."""
    team, raw = world.team, tmp_path / "raw"
    raw.mkdir()
    for name in "ab":
        (raw / name).write_text(f"{name} {secrets.token_hex(4)} ")
    team.worker(team.alpha)
    runs: list[dict[str, Any]] = []
    for name, script, inputs in (
        ("prepare", PREPARE, f"{{raw: {raw}}}"),
        ("train", TRAIN, "{data: run:prepare@latest/data}"),
        ("evaluate", EVALUATE, "{weights: 'run:train@best(accuracy)/model.json'}"),
    ):
        spec = small_job(tmp_path / name, script, f"inputs: {inputs}")
        spec.write_text(spec.read_text().replace("name: test", f"name: {name}"))
        done = world.submit(spec)
        assert done.code == 0, done.err
        runs.append(team.until(done.out.strip(), *FINAL))
        assert (runs[-1]["state"], runs[-1]["box_name"]) == ("succeeded", "alpha"), runs[-1]
        shutil.rmtree(raw, ignore_errors=True)
    first, train, last = (run["id"] for run in runs)

    team.worker(team.beta)
    again = rerun(team, runs[-1]["image"], "--elsewhere").json
    assert again["verdict"]["outcome"] == "identical" and again["run"]["box_name"] == "beta"
    assert again["run"]["box"] != runs[-1]["box"]
    for one in (last, again["run"]["id"]):
        found = team.person.json("lineage", one)
        assert {(link["user"], link["input"], link["maker"]) for link in found["above"]} == {
            (one, "weights", train),
            (train, "data", first),
        }
        assert [(item["run"], item["input"]) for item in found["unmade"]] == [(first, "raw")]
