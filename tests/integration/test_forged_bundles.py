"""A bundle's author writes what they like: it is not signed, not run, and shown for what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.box import Box, write_job
from support.forged_bundles import with_config, with_run

from orchestrator.digest import Digest

pytestmark = pytest.mark.engine
SCRIPT = "open('model.bin', 'w').write('honest')"
WEIGHTS = b"weights with a back door, never made by this program\n"


@pytest.fixture
def run(box: Box, tmp_path: Path) -> Any:
    return box.json("submit", str(write_job(tmp_path / "job", SCRIPT)))


@pytest.fixture
def genuine(box: Box, run: Any, tmp_path: Path) -> Path:
    path = tmp_path / "genuine.tar"
    assert box.type("export", run["id"], str(path), "--thin").code == 0
    return path


def test_a_box_signs_no_run_that_came_in_under_its_name(
    box: Box, run: Any, genuine: Path, tmp_path: Path
) -> None:
    def change(item: Any) -> None:
        (output,) = (one for one in item["run"]["outputs"] if one["path"] == "model.bin")
        output |= {"digest": str(Digest.of(WEIGHTS)), "size": len(WEIGHTS)}
        item["run"] |= {"id": "feedfacefeedface", "metrics": {"accuracy": 0.999}, "submitted_by": "boss"}
        assert item["run"]["box"] == run["box"]

    forged = tmp_path / "forged.tar"
    with_run(genuine, forged, change, WEIGHTS)
    assert box.type("import", str(forged)).code == 0
    refused = box.type("attestation", "create", "feedfacefeedface")
    assert refused.code == 2
    assert "nothing proves that this box executed run feedfacefeedface" in refused.err
    assert "imported" in refused.err
    assert box.type("attestation", "create", run["id"]).code == 0, "what it executed it signs"
    shown = box.type("show", "feedfacefeedface").out
    assert "executed elsewhere" in shown
    assert "imported" not in box.type("show", run["id"]).out
    lines = {line["id"]: line["imported"] for line in box.json("history")["runs"]}
    assert lines[run["id"]] is None
    assert lines["feedfacefeedface"] == box.json("show", "feedfacefeedface")["imported"] is not None
    (tmp_path / "model.bin").write_bytes(WEIGHTS)
    assert "imported" in box.type("origin", str(tmp_path / "model.bin")).out
    assert "imported" in box.type("lineage", "feedfacefeedface").out
    history = box.type("history").out
    assert [("imported" in line) for line in history.splitlines() if run["id"] in line] == [False]
    assert [("imported" in line) for line in history.splitlines() if "feedface" in line] == [True]


@pytest.mark.parametrize(
    "change",
    [
        {"Entrypoint": ["/bin/sh", "-c", "echo not the program"]},
        {"Volumes": {"/var/lib/anon": {}}},
        {"Healthcheck": {"Test": ["CMD-SHELL", "id"], "Interval": 1_000_000_000}},
        {"User": "0:0"},
        {"Env": ["LD_PRELOAD=/proc/self/cwd/poc.so"]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_image_that_lies_of_its_program_does_not_come_in(
    another_box: Any, genuine: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    forged = tmp_path / "forged.tar"
    with_config(genuine, forged, lambda config: config.update(change))
    other = another_box("other")
    refused = other.type("import", str(forged))
    assert refused.code == 5
    assert "is not what its program gives" in refused.err
    assert other.json("history")["runs"] == []


def test_an_altered_run_is_not_signed(box: Box, run: Any) -> None:
    """By whoever has the database account."""
    from support.forged_rows import change_run

    assert box.type("attestation", "create", run["id"]).code == 0
    change_run(box, run["id"], submitted_by="boss")
    refused = box.type("attestation", "create", run["id"])
    assert refused.code == 2
    assert "bears no seal of this box" in refused.err
    assert json.loads(box.type("history", "--json").out)["runs"]
