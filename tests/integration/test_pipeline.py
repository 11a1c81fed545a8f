"""Runs that take what earlier ones left: nothing is copied by hand, and another box fetches it by digest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.box import Box, make_box, small_job

from orchestrator.settings import Settings

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
PREPARE = """
import os
os.makedirs('data/part')
for name in ('a', 'b'):
    open(f'data/part/{name}.txt', 'w').write(open('/inputs/raw/' + name).read() * 2)
os.symlink('part/a.txt', 'data/first.txt')
open('unused.txt', 'w').write('x')
"""
TRAIN = """
import json, pathlib
text = ''.join(path.read_text() for path in sorted(pathlib.Path('/inputs/data').rglob('*.txt')))
json.dump({'weights': text}, open('model.json', 'w'))
json.dump({'accuracy': 0.5 + 0.1 * int(open('/inputs/more').read())}, open('metrics.json', 'w'))
"""
EVALUATE = """
import json, os
text = json.load(open('/inputs/weights'))['weights']
assert not os.access('/inputs/weights', os.W_OK)
json.dump({'score': len(text), 'text': text}, open('report.json', 'w'))
"""


def test_prepare_train_evaluate_and_the_last_again_on_another_box(
    small: Box, tmp_path: Path, shared_base: Settings
) -> None:
    """One record and one store, two homes. What the second box runs, it has by digest alone."""
    shared = {"REPRISE_STORE": str(tmp_path / "store")}
    box = Box(small.settings, {**shared, "REPRISE_DATABASE_URL": f"sqlite:///{tmp_path / 'team.db'}"})
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a").write_text("one ")
    (raw / "b").write_text("two ")
    assert box.type("data", "add", str(raw), "--name", "numbers", "--quiet").out == "numbers@1\n"
    for path in (raw / "a", raw / "b"):
        path.unlink()  # the store has them

    prepare = named(small_job(tmp_path / "1", PREPARE, "inputs: {raw: data:numbers}"), "prepare")
    first = box.json("submit", str(prepare))
    assert first["input_origins"]["raw"] == {
        "asked": "data:numbers",
        "data": "numbers",
        "version": 1,
        "run": None,
        "path": None,
    }
    inputs = "inputs: {data: run:prepare@latest/data, more: more.txt}"
    train = named(small_job(tmp_path / "2", TRAIN, inputs), "train")
    runs = []
    for number in "120":
        (tmp_path / "2" / "more.txt").write_text(number)
        runs.append(box.json("submit", str(train)))
    assert {run["state"] for run in runs} == {"succeeded"}
    assert runs[0]["input_origins"]["data"]["run"] == first["id"]

    weights = "inputs: {weights: 'run:train@best(accuracy)/model.json'}"
    evaluate = named(small_job(tmp_path / "3", EVALUATE, weights), "evaluate")
    last = box.json("submit", str(evaluate))
    assert last["state"] == "succeeded" and last["metrics"] == {}
    assert last["input_origins"]["weights"]["run"] == runs[1]["id"]
    asked = box.type("show", last["id"]).out
    assert f"model.json of run {runs[1]['id']}, asked for as run:train@best(accuracy)/model.json" in asked

    found = box.json("lineage", last["id"])
    assert {(link["user"], link["input"], link["maker"]) for link in found["above"]} == {
        (last["id"], "weights", runs[1]["id"]),
        (runs[1]["id"], "data", first["id"]),
    }
    unmade = {(item["run"], item["input"]): item["data"] for item in found["unmade"]}
    assert unmade == {(first["id"], "raw"): "numbers@1", (runs[1]["id"], "more"): None}

    other = make_box(tmp_path / "other", shared_base, **box.variables)
    again = other.json("rerun", last["image"])
    assert again["verdict"]["outcome"] == "identical"
    assert again["run"]["input_origins"] == last["input_origins"]
    (tmp_path / "w").write_text("other weights")
    wrong = other.type("rerun", last["id"], "--input", f"weights=run:{first['id']}/unused.txt")
    assert (
        wrong.code == 2 and "input weights" in wrong.err and last["program"]["inputs"]["weights"] in wrong.err
    )


def named(spec: Path, name: str) -> Path:
    spec.write_text(spec.read_text().replace("name: test", f"name: {name}"))
    return spec


@pytest.mark.acceptance
def test_a_training_that_goes_on_from_a_checkpoint_ends_with_the_same_weights(box: Box) -> None:
    """The example in jobs/resume: 3 epochs and 3 more are 6, bit for bit."""
    job = ROOT / "jobs" / "resume"
    half = box.json("submit", str(job))
    onward = box.json("submit", str(job / "continue.yaml"))
    whole = box.json("submit", str(job), "-p", "epochs=6")
    assert onward["input_origins"]["checkpoint"]["run"] == half["id"]
    digests = [{one["path"]: one["digest"] for one in run["outputs"]} for run in (onward, whole, half)]
    assert digests[0]["model.pt"] == digests[1]["model.pt"] != digests[2]["model.pt"]
    assert json.dumps(onward["metrics"]) == json.dumps(whole["metrics"])
