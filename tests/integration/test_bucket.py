"""A store on S3: runs, reruns, verdicts in a container, gc; and a byte that changed there."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest
from support.altered import flip_file
from support.box import Box, make_box, write_job
from support.services import S3Server

from orchestrator.settings import Settings

pytestmark = pytest.mark.engine

SCRIPT = """
import json, random
open('x.txt', 'w').write(str(random.random()))
json.dump({'accuracy': 0.5}, open('metrics.json', 'w'))
print('hello')
"""


@pytest.fixture
def prefix() -> str:
    return f"team/{secrets.token_hex(6)}"


@pytest.fixture
def far(tmp_path: Path, shared_base: Settings, s3: S3Server, prefix: str) -> Box:
    return make_box(tmp_path / "far", shared_base, REPRISE_STORE=s3.address(prefix), **s3.environ)


def test_runs_have_their_bytes_there_and_a_changed_byte_is_named(
    far: Box, s3: S3Server, prefix: str, tmp_path: Path
) -> None:
    spec = write_job(tmp_path / "job", SCRIPT)
    both = far.json("submit", str(spec), "--twice")
    run, again = both["run"], both["rerun"]
    assert both["verdict"]["outcome"] == "identical"
    assert not far.settings.store.exists()
    assert far.type("logs", run["id"]).out == "hello\n"
    assert far.type("doctor").out.count(s3.address(prefix)) == 1
    copied = tmp_path / "copied"
    assert far.type("outputs", run["id"], "--to", str(copied)).code == 0
    assert (copied / "metrics.json").is_file()
    assert far.type("audit", "--only", "verdicts", again["id"]).code == 0
    for stored in s3.path(prefix).rglob("sha256/*/*"):
        os.utime(stored, (0, 0))
    s3.touched()
    kept = far.json("store", "gc")
    assert (kept["removed"], kept["young"], kept["foreign"]) == (0, 0, [])
    assert kept["seen"] > 2

    (output,) = [one for one in run["outputs"] if one["path"] == "x.txt"]
    hexes = output["digest"].removeprefix("sha256:")
    path = s3.path(f"{prefix}/sha256/{hexes[:2]}/{hexes}")
    flip_file(path)
    s3.touched()
    damaged = far.type("outputs", run["id"], "--to", str(tmp_path / "damaged"))
    assert damaged.code == 5
    assert output["digest"] in damaged.err
    assert not (tmp_path / "damaged" / "x.txt").exists()
    assert far.type("audit", "--only", "verdicts", again["id"]).code == 6
    found = far.type("audit", "--only", "blobs", "--json")
    assert found.code == 6
    (finding,) = found.json["findings"]
    assert finding["kind"] == "blob altered"
    assert output["digest"] in finding["subject"]
