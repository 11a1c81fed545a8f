"""Who has the database account, and nothing else, writes rows: a box starts nothing but what it computes."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from support.box import WAITS, Box, let_go, write_job
from support.forged_rows import change_run, engine_of, forged_run, open_run_of, stored_plan
from support.programs import ran

from orchestrator.record.schema import tables

pytestmark = pytest.mark.engine
HONEST = "open('out.txt', 'w').write('honest')"


@pytest.fixture
def first(box: Box, tmp_path: Path) -> Any:
    return box.json("submit", str(write_job(tmp_path / "job", HONEST)))


def hostile_plan(run: str, image: str, marker: Path) -> dict[str, Any]:
    """Root, the host's network, everything that matters of the host mounted to be written."""
    order = f"id; cat /host/etc/shadow; echo written > /host{marker}"
    paths = {"/etc": "/host/etc", "/tmp": "/host/tmp", "/var/run/docker.sock": "/host/docker.sock"}
    mounts = [{"source": here, "target": there, "read_only": False} for here, there in paths.items()]
    mounts += [
        {"source": "/tmp", "target": target, "read_only": True} for target in ("/workspace", "/run/reprise")
    ]
    return {
        "run": run, "attempt": 1, "container": f"run-{run}-1", "image": image, "command": [],
        "entrypoint": ["/bin/sh", "-c", order], "environment": {"LD_PRELOAD": "/proc/self/cwd/x.so"},
        "user": "0:0", "network": "host", "cpus": None, "memory": 1 << 30, "shm": 1 << 26, "processes": 100,
        "file_size": 1 << 30, "timeout": 60, "labels": {}, "mounts": mounts, "stop_grace": 1e9,
    }  # fmt: skip


def test_a_stored_plan_starts_nothing(box: Box, first: Any, tmp_path: Path) -> None:
    marker, run = tmp_path / "marker", "0123456789abcdef"
    forged = hostile_plan(run, f"reprise:{first['image'][7:]}", marker)
    forged_run(box, first["id"], public_id=run, plan=json.dumps(forged))
    done = box.type("execute", run)
    assert done.code == 0, done.err
    assert "its stored plan is not what this box computes" in done.err
    assert not marker.exists()
    shown = box.json("show", run)
    assert shown["state"] == "succeeded"
    assert [one["digest"] for one in shown["outputs"]] == [one["digest"] for one in first["outputs"]]
    made = stored_plan(box, run)
    assert (made["user"], made["network"], made["entrypoint"]) == ("65532:65532", "none", None)
    assert {mount["target"] for mount in made["mounts"]} == {"/workspace", "/run/reprise"}


def test_a_stored_plan_that_cannot_be_read_is_computed_anew(box: Box, first: Any) -> None:
    for plan in ("{}", "[]", "no JSON", "[" * 100_000, '{"gpu_uuids": 1e999}'):
        run = forged_run(box, first["id"], plan=plan)
        done = box.type("execute", run)
        assert done.code == 0, (plan[:20], done.err)
        assert box.json("show", run)["state"] == "succeeded"


def test_the_image_is_taken_by_its_digest(box: Box, first: Any, tmp_path: Path) -> None:
    """What a row says that the engine be asked for is not asked for."""
    other = box.json("submit", str(write_job(tmp_path / "other", "open('out.txt', 'w').write('other')")))
    run = forged_run(box, first["id"], reference=f"reprise:{other['image'][7:]}")
    assert box.type("execute", run).code == 0
    assert [one["digest"] for one in box.json("show", run)["outputs"]] == [
        one["digest"] for one in first["outputs"]
    ]


def test_a_row_that_names_another_program_than_its_image_is_not_executed(box: Box, first: Any) -> None:
    command = ["sh", "-c", "echo forged"]
    program = json.dumps({**first["program"], "command": command})
    run = forged_run(box, first["id"], program=program)
    done = box.type("execute", run)
    assert done.code != 0
    assert "Traceback" not in done.err
    shown = box.json("show", run)
    assert shown["state"] == "failed"
    assert "its row was altered" in shown["message"]
    assert ran("docker", "ps", "-aq", "--filter", f"label=reprise.run={run}").stdout == ""


def test_an_input_says_nothing_of_what_lies_at_its_path(box: Box, tmp_path: Path) -> None:
    """Else whoever writes rows could ask a box after any of its files."""
    data = tmp_path / "data.txt"
    data.write_text("1")
    spec = write_job(tmp_path / "job", HONEST, f"inputs: {{data: {{path: {data}}}}}")
    first = box.json("submit", str(spec))
    run = forged_run(box, first["id"], input_paths=json.dumps({"data": "/etc/shadow"}))
    done = box.type("execute", run)
    assert done.code != 0
    message = box.json("show", run)["message"]
    assert "is not on this box" in message
    shadow = subprocess.run(["sha256sum", "/etc/shadow"], capture_output=True, text=True, check=True)
    assert shadow.stdout[:64] not in done.err + message


def test_a_run_is_called_by_16_hex_digits_or_is_no_run(box: Box, first: Any, tmp_path: Path) -> None:
    """A run's name is part of paths, of containers' names and of commands."""
    change_run(box, first["id"], submitted_by="ada")
    for name in ("../../../tmp/x", "--help", "a" * 15, "0123456789ABCDEF", "0123456789abcde\n"):
        forged_run(box, first["id"], public_id=name)
    before = sorted(str(path) for path in tmp_path.rglob("*") if "home" not in path.parts)
    for words in (
        ("worker", "recover"),
        ("history",),
        ("worker", "start", "--help"),
        ("store", "gc", "--dry-run"),
    ):
        done = box.type(*words)
        assert "Traceback" not in done.err
        assert "bug" not in done.err
    assert first["id"] in box.type("history").out
    assert sorted(str(path) for path in tmp_path.rglob("*") if "home" not in path.parts) == before


def test_a_box_seals_what_it_was_told_to_run_when_it_began(box: Box, first: Any, tmp_path: Path) -> None:
    """Rows that are altered under a run, before its end seals them."""
    spec = write_job(tmp_path / "waits", f"{WAITS}\n{HONEST}")
    submitted = box.start("submit", str(spec), "--json")
    with engine_of(box).connect() as connection:
        other = connection.execute(
            select(tables.run.c.image_id, tables.run.c.program).where(tables.run.c.public_id == first["id"])
        ).one()
    run = open_run_of(box)
    change_run(box, run, image_id=other.image_id, program=other.program)
    let_go(box, run)
    _, err = submitted.communicate(timeout=120)
    assert submitted.returncode == 0, err
    assert "were altered while it ran" in err
    assert box.json("show", run)["image"] == first["image"], "the row says so now"
    done = box.type("attestation", "create", run, "--to", str(tmp_path / "signed.jsonl"))
    assert done.code == 2
    assert "no seal of this box" in done.err
    assert not (tmp_path / "signed.jsonl").exists()


@pytest.mark.parametrize("column", ["config_digest", "base_digest", "base_name", "base_config_digest"])
def test_what_is_signed_of_an_image_is_sealed_too(box: Box, first: Any, column: str, tmp_path: Path) -> None:
    """The row of an image belongs to all its runs."""
    assert box.type("attestation", "create", first["id"], "--to", str(tmp_path / "good.jsonl")).code == 0
    with engine_of(box).begin() as connection:
        connection.execute(update(tables.image).values({column: "sha256:" + "0" * 64}))
    done = box.type("attestation", "create", first["id"], "--to", str(tmp_path / "signed.jsonl"))
    assert done.code == 2
    assert "nothing proves" in done.err
    assert not (tmp_path / "signed.jsonl").exists()


def test_a_sentence_that_somebody_wrote_into_a_verdict_is_not_signed(
    box: Box, first: Any, tmp_path: Path
) -> None:
    run = box.json("rerun", first["id"])["run"]["id"]
    with engine_of(box).begin() as connection:
        text = connection.execute(select(tables.verdict.c.document)).scalar_one()
        forged = json.dumps(json.loads(text) | {"summary": "certified by somebody"})
        connection.execute(update(tables.verdict).values(document=forged))
    path = tmp_path / "signed.jsonl"
    assert box.type("attestation", "create", run, "--to", str(path)).code == 0
    signed = [base64.b64decode(json.loads(line)["payload"]) for line in path.read_text().splitlines()]
    assert not any(b"certified" in one for one in signed)
    assert any(b"identical" in one for one in signed)
