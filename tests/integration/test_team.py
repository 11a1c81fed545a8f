"""Several people's runs, asked afterwards: which won, with what, from which code; and it happens again."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.box import Box, committed_job, git, stored

pytestmark = pytest.mark.engine

SCRIPT = """
import argparse, json, random
parser = argparse.ArgumentParser()
parser.add_argument('--lr', type=float)
parser.add_argument('--opt')
args = parser.parse_args()
accuracy = round(0.9 + args.lr / 10 + (0.01 if args.opt == 'adam' else 0) + random.random() / 1000, 6)
json.dump({'accuracy': accuracy}, open('metrics.json', 'w'))
open('weights.txt', 'w').write(repr(accuracy))
"""
SPEC = """
name: digits
base: cpu
source: .
command: [python, train.py, --lr, "{lr}", --opt, "{opt}"]
params: {lr: 0.1, opt: sgd}
seed: 3
tolerance: {metrics: {accuracy: 0.5}}
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return committed_job(tmp_path / "repository", SCRIPT, SPEC)


def test_the_winner_is_found_with_its_parameters_code_packages_and_seed_and_is_rerun(
    box: Box, job: Path
) -> None:
    submitted = {}
    for lr in ("0.05", "0.1", "0.2"):
        for opt in ("sgd", "adam"):
            run = box.json("submit", str(job), "-p", f"lr={lr}", "-p", f"opt={opt}")
            submitted[lr, opt] = run["id"]
    best = box.json("best", "digits", "--metric", "accuracy")
    assert best["id"] == submitted["0.2", "adam"]
    assert best["program"]["params"] == {"lr": 0.2, "opt": "adam"}
    assert best["program"]["seed"] == 3
    assert best["git"]["commit"] == git(job.parent, "rev-parse", "HEAD")
    assert best["git"]["subject"] == "First try"
    assert best["git"]["dirty"] is False
    assert best["packages"]["torch"].startswith("2.")
    assert box.json("rerun", best["id"])["verdict"]["outcome"] == "identical"

    where = "params.lr < 0.15 and params.opt == 'adam'"
    lines = box.json("history", "--job", "digits", "--where", where, "--sort=-metrics.accuracy")["runs"]
    assert [line["id"] for line in lines] == [submitted["0.1", "adam"], submitted["0.05", "adam"]]

    diff = box.type("diff", submitted["0.05", "sgd"], submitted["0.2", "sgd"]).out
    assert "0.05" in diff
    assert "0.2" in diff
    assert "python.version" not in diff, "equal fields are hidden"


def test_a_dirty_tree_is_kept_as_a_patch_and_can_be_refused(box: Box, job: Path) -> None:
    clean = box.json("submit", str(job))
    (job.parent / "train.py").write_text(SCRIPT + "print('changed')\n")
    (job.parent / "helper.py").write_text("x = 1\n")
    refused = box.type("submit", str(job), "--require-clean")
    assert refused.code == 2
    assert "commit" in refused.err
    dirty = box.json("submit", str(job))
    assert dirty["git"]["dirty"] is True
    assert dirty["git"]["commit"] == clean["git"]["commit"]
    patch = stored(box.settings.store, dirty["git"]["patch_digest"])
    assert b"+print('changed')" in patch.read_bytes()
    assert b"+x = 1" in patch.read_bytes()
    assert "DIRTY" in box.type("show", dirty["id"]).out
    changed = box.json("diff", clean["id"], dirty["id"])
    assert "helper.py" in str(changed)
    # Once committed, the same files are the same digest.
    git(job.parent, "add", "-A")
    git(job.parent, "commit", "-qm", "Second")
    assert box.json("build", str(job))["digest"] == dirty["image"]


def test_a_commit_is_run_as_it_was_whatever_the_folder_says(box: Box, job: Path) -> None:
    first = git(job.parent, "rev-parse", "HEAD")
    before = box.json("build", str(job))
    (job.parent / "train.py").write_text("raise SystemExit('not this')\n")
    pinned = job.parent / "pinned.yaml"
    pinned.write_text(SPEC.replace("source: .", f"source: {{path: ., commit: {first}}}"))
    run = box.json("submit", str(pinned))
    assert run["state"] == "succeeded"
    assert run["image"] == before["digest"]
    assert run["git"]["commit"] == first


def test_metrics_within_the_tolerance_are_said_to_be_so(box: Box, tmp_path: Path) -> None:
    folder = tmp_path / "noisy"
    folder.mkdir()
    script = (
        "import json, os\njson.dump({'accuracy': 0.9 + os.urandom(1)[0] / 1e5}, open('metrics.json', 'w'))"
    )
    (folder / "main.py").write_text(script)
    (folder / "job.yaml").write_text(
        "name: noisy\nbase: cpu\ncommand: [python, main.py]\ntolerance: {metrics: {accuracy: 0.01}}\n"
    )
    run = box.json("submit", str(folder / "job.yaml"))
    outcomes = {box.json("rerun", run["id"])["verdict"]["outcome"] for _ in range(2)}
    assert "within_tolerance" in outcomes
    assert outcomes <= {"within_tolerance", "identical"}
