"""Images of a release in the hands of the next one: described, run again, audited, carried."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.box import Box, Outcome, make_box, small_job
from support.next_release import NUMBER
from support.programs import ran

pytestmark = pytest.mark.engine

SCRIPT = "import random; open('drawn.txt', 'w').write(str(random.random()))"


def later(box: Box, *words: str, code: int = 0) -> Outcome:
    """What the next release says."""
    script = Path(__file__).parents[1] / "support" / "next_release.py"
    done = ran(sys.executable, str(script), *words, code=code, env=box.environ, timeout=240)
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def box(small: Box, tmp_path: Path) -> Box:
    return make_box(tmp_path / "home", small.settings)


def test_what_a_release_made_the_next_one_reads(small: Box, box: Box, tmp_path: Path) -> None:
    spec = small_job(tmp_path / "job", SCRIPT)
    run = box.json("submit", str(spec))
    digest = run["image"]["digest"] if isinstance(run["image"], dict) else run["image"]

    described = later(box, "image", "show", digest, "--json").json
    assert described == box.json("image", "show", digest)
    again = later(box, "rerun", digest, "--json").json
    assert again["verdict"]["outcome"] == "identical"
    audited = later(box, "audit", "--json").json
    assert not [finding for finding in audited["findings"] if finding["kind"] != "not checked"]

    later(box, "export", run["id"], str(tmp_path / "run.tar"))
    other = make_box(tmp_path / "other", small.settings)
    later(other, "import", str(tmp_path / "run.tar"))
    assert later(other, "rerun", digest, "--json").json["verdict"]["outcome"] == "identical"
    later(other, "audit")


def test_what_the_next_release_makes_is_another_experiment_and_is_not_guessed_at(
    box: Box, tmp_path: Path
) -> None:
    spec = small_job(tmp_path / "job", SCRIPT)
    now, then = box.json("build", str(spec)), json.loads(later(box, "build", str(spec), "--json").out)
    assert now["digest"] != then["digest"]
    refused = box.type("rerun", then["digest"])
    assert refused.code == 2
    assert f"is '{NUMBER}', this Reprise knows 1" in refused.err or "no image" in refused.err


def test_one_spec_is_one_image_whatever_the_machine_has(box: Box, tmp_path: Path) -> None:
    """A machine with GPUs, as far as anything here can see one."""
    spec = small_job(tmp_path / "job", SCRIPT)
    code = (
        "import sys\nfrom orchestrator.run import hardware\n"
        "gpu = hardware.Gpu(uuid='GPU-1', name='H100', compute='9.0', sms=132, memory=80 << 30,\n"
        "                   driver='580', vbios='1', mig=False)\n"
        "hardware.gpus = lambda: (gpu,)\n"
        "from orchestrator.cli.main import main\nmain()\n"
    )
    words: list[Any] = [sys.executable, "-c", code, "build", str(spec), "--json"]
    done = subprocess.run(words, env=box.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["digest"] == box.json("build", str(spec))["digest"]
