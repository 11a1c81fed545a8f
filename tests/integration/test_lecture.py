"""The lecture's question: five people trained a dozen models; which one won, from what, and is it so again?

After it: what was made of the winner, and what people say of it.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.box import Box, committed_job, git

pytestmark = pytest.mark.engine

# Ten blurred shapes of 8x8 to tell apart, a few steps: what counts is that the four choices matter.
TRAIN = """
import argparse, json
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--batch-size", type=int)
parser.add_argument("--optimizer", choices=["SGD", "Adam", "RMSprop"])
parser.add_argument("--activation", choices=["ReLU", "Tanh", "GELU"])
args = parser.parse_args()

shapes = torch.randn(10, 64, generator=torch.Generator().manual_seed(1))

def sample(count):
    labels = torch.randint(10, (count,))
    return shapes[labels] + 2.0 * torch.randn(count, 64), labels

train, test = sample(1024), sample(4096)
model = nn.Sequential(nn.Linear(64, 32), getattr(nn, args.activation)(), nn.Linear(32, 10))
optimizer = getattr(torch.optim, args.optimizer)(model.parameters(), lr=args.lr)
for start in range(0, 1024, args.batch_size):
    images, labels = (part[start:start + args.batch_size] for part in train)
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step()
with torch.no_grad():
    accuracy = (model(test[0]).argmax(1) == test[1]).float().mean().item()
json.dump({"accuracy": accuracy}, open("metrics.json", "w"))
torch.save(model.state_dict(), "model.pt")
"""
SPEC = """
name: digits
base: cpu
command: python train.py --lr {lr} --batch-size {batch_size} --optimizer {optimizer} --activation {activation}
params: {lr: 0.01, batch_size: 64, optimizer: SGD, activation: ReLU}
seed: 11
"""
PEOPLE = {
    "ada": [("0.01", "64", "SGD", "ReLU"), ("0.1", "64", "SGD", "ReLU"), ("0.1", "32", "SGD", "Tanh")],
    "bob": [("0.001", "64", "Adam", "ReLU"), ("0.01", "64", "Adam", "ReLU")],
    "cyd": [("0.01", "32", "Adam", "Tanh"), ("0.01", "128", "Adam", "Tanh"), ("0.1", "64", "Adam", "Tanh")],
    "dan": [("0.003", "32", "RMSprop", "GELU"), ("0.01", "64", "RMSprop", "ReLU")],
    "eve": [("0.3", "32", "SGD", "GELU"), ("0.003", "32", "Adam", "GELU")],
}
NAMES = ("lr", "batch_size", "optimizer", "activation")


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return committed_job(tmp_path / "repository", TRAIN, SPEC)


def submit_all(box: Box, job: Path, person: str) -> list[dict[str, Any]]:
    """One person's runs, one after the other, as that person's login name says."""
    runs = []
    for values in PEOPLE[person]:
        words = [f"-p{name}={value}" for name, value in zip(NAMES, values, strict=True)]
        done = box.type("submit", str(job), *words, "--json", LOGNAME=person, USER=person)
        assert done.code == 0, done.err
        runs.append(done.json)
    return runs


@pytest.mark.acceptance
def test_five_people_a_dozen_runs_one_winner(box: Box, job: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(len(PEOPLE)) as pool:
        per_person = list(pool.map(lambda person: submit_all(box, job, person), PEOPLE))
    runs = {run["id"]: run for some in per_person for run in some}
    assert len(runs) == len({run["image"] for run in runs.values()}) == 12
    lines = box.json("history", "--job", "digits")["runs"]
    assert {line["submitted_by"] for line in lines} == set(PEOPLE)
    assert {line["id"] for line in box.json("history", "--by", "cyd")["runs"]} == {
        run["id"] for run in runs.values() if run["submitted_by"] == "cyd"
    }

    oldest_first = [runs[line["id"]] for line in reversed(lines)]
    winner = max(oldest_first, key=lambda run: run["metrics"]["accuracy"])
    assert winner["metrics"]["accuracy"] > min(run["metrics"]["accuracy"] for run in oldest_first) + 0.1
    best = box.json("best", "digits", "--metric", "accuracy")
    assert best["id"] == winner["id"]
    index = next(
        number
        for number, run in enumerate(per_person[list(PEOPLE).index(best["submitted_by"])])
        if run["id"] == best["id"]
    )
    lr, batch_size, optimizer, activation = PEOPLE[best["submitted_by"]][index]
    assert best["program"]["params"] == {
        "lr": float(lr),
        "batch_size": int(batch_size),
        "optimizer": optimizer,
        "activation": activation,
    }
    assert best["program"]["seed"] == 11
    assert best["source"] == {"train.py": hashlib.sha256(TRAIN.encode()).hexdigest()}
    assert best["git"]["commit"] == git(job.parent, "rev-parse", "HEAD") and not best["git"]["dirty"]
    assert best["packages"]["torch"].startswith("2.")
    assert best["box"] and best["fingerprint"]["bit_digest"].startswith("sha256:")
    told = box.type("best", "digits", "--metric", "accuracy").out
    who, where = best["submitted_by"], best["box"][:8]
    for word in (best["id"], f"lr={lr}", f"optimizer={optimizer}", "seed=11", who, where):
        assert word in told

    assert box.json("rerun", best["id"])["verdict"]["outcome"] == "identical"

    box.type("outputs", best["id"], "--to", str(tmp_path / "download"))
    weights = tmp_path / "who-knows.bin"
    (tmp_path / "download" / "model.pt").rename(weights)
    [found] = box.json("origin", str(weights))["files"]
    assert found["made_by"][0]["run"] == best["id"]
    assert found["made_by"][0]["params"] == best["program"]["params"]
    assert found["made_by"][0]["verdicts"] == ["identical"]
    assert {made["run"] for made in found["made_by"]} & runs.keys() == {best["id"]}, (
        "no other has its weights"
    )


def test_what_was_made_of_the_winner_and_what_is_said_of_it(box: Box, tmp_path: Path) -> None:
    train = tmp_path / "train"
    train.mkdir()
    (train / "main.py").write_text("open('weights.bin', 'w').write('w' * 100)\n")
    (train / "job.yaml").write_text("name: train\nbase: cpu\ncommand: [python, main.py]\n")
    git(train, "init", "-q")
    git(train, "add", "-A")
    git(train, "commit", "-qm", "First")
    first = box.json("submit", str(train / "job.yaml"))["id"]
    (train / "main.py").write_text("open('weights.bin', 'w').write('w' * 200)\n")
    (train / "logo.bin").write_bytes(b"\0\1")
    second = box.json("submit", str(train / "job.yaml"))["id"]
    assert box.type("outputs", second, "--to", str(tmp_path / "store")).code == 0

    serve = tmp_path / "serve"
    serve.mkdir()
    (serve / "main.py").write_text("print(len(open('/inputs/model/weights.bin').read()))\n")
    (serve / "job.yaml").write_text(
        f"name: serve\nbase: cpu\ncommand: [python, main.py]\ninputs: {{model: {tmp_path / 'store'}}}\n"
    )
    served = box.json("submit", str(serve / "job.yaml"))["id"]

    below = box.json("lineage", second)["below"]
    assert [(link["user"], link["input"]) for link in below] == [(served, "model")]
    assert below[0]["matches"][0]["output"] == below[0]["matches"][0]["file"] == "weights.bin"
    text = box.type("lineage", served).out
    assert f"model <- weights.bin of {second} train" in text and first not in text
    assert "used by no run" in text
    code, known = 0, box.json("origin", str(tmp_path / "store"))
    assert (known["files"][0]["made_by"][0]["run"], code) == (second, 0)
    assert {item["role"] for item in known["folders"][0]["known_as"]} == {"input"}

    assert "+open('weights.bin', 'w').write('w' * 200)" in box.type("show", second, "--patch").out
    patch = box.type("show", second, "--patch", "--raw").out
    git(train, "stash", "-qu")
    (tmp_path / "p").write_text(patch)
    git(train, "apply", str(tmp_path / "p"))
    assert "200" in (train / "main.py").read_text()
    code_diff = box.type("diff", first, second, "--code").out
    assert "-open('weights.bin', 'w').write('w' * 100)" in code_diff and "+++ b/main.py" in code_diff
    assert "added: logo.bin (binary)" in code_diff
    changed = box.json("history", "--changed", "code")
    assert [run["id"] for run in changed["runs"]] == [second]
    assert {delta["name"] for delta in changed["changed"][second]["deltas"]} == {"main.py", "logo.bin"}

    assert box.type("alias", "production", second, LOGNAME="ada", USER="ada").code == 0
    assert box.type("note", "production", "went out on Monday", LOGNAME="bob", USER="bob").code == 0
    shown = box.type("show", "production").out
    assert second in shown and "bob: went out on Monday" in shown
    box.json("archive", first)
    assert [run["id"] for run in box.json("history", "--job", "train")["runs"]] == [second]
    assert box.json("rerun", "production")["verdict"]["outcome"] == "identical"
