"""What a job leaves, on the real engine: its output, what came with the source, what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.box import Box, write_job

pytestmark = pytest.mark.engine


def kept(run: dict[str, Any]) -> list[str]:
    return [output["path"] for output in run["outputs"] if output["status"] == "kept"]


def test_globs_that_fit_nothing_are_said_and_nothing_is_thrown_away(box: Box, tmp_path: Path) -> None:
    script = (
        "import os; os.makedirs('models'); [open(f'models/e{i}.pt', 'w').write('w') for i in range(2)];"
        "open('x.log', 'w').write('x')"
    )
    job = write_job(tmp_path / "all", script, "outputs: ['model/*.pt', 'weights.bin']")
    done = box.type("submit", str(job))
    assert done.code == 0, done.err
    assert "nothing that the job wrote fits 'model/*.pt', 'weights.bin'" in done.out
    assert "no file fits the globs, so all 3 files that it wrote are kept" in done.out
    run = box.json("show", box.json("history")["runs"][0]["id"])
    assert kept(run) == ["models/e0.pt", "models/e1.pt", "x.log"]
    assert any("'weights.bin'" in note for note in run["notes"])

    job = write_job(tmp_path / "some", script, "outputs: ['models/e[0-9].pt', 'models', '*.txt']")
    run = box.json("submit", str(job))
    assert kept(run) == ["models/e0.pt", "models/e1.pt"]
    assert run["notes"] == ["outputs: nothing that the job wrote fits '*.txt'"]


def test_a_mark_or_a_tolerance_that_speaks_of_no_output_is_said(box: Box, tmp_path: Path) -> None:
    extra = """
outputs: ["**", {glob: "log/**", volatile: true}, {glob: "*.txt", volatile: true}]
tolerance: {outputs: {"*.npz": 0.1}}
"""
    run = box.json("submit", str(write_job(tmp_path / "job", "open('x.txt', 'w').write('x')", extra)))
    assert run["notes"] == ["tolerance: no output fits '*.npz', 'log/**'"]


def test_braces_are_refused_before_anything_runs(box: Box, tmp_path: Path) -> None:
    job = write_job(tmp_path / "job", "", "outputs: ['models/{a,b}.pt']")
    done = box.type("submit", str(job))
    assert done.code == 2
    assert "outputs[0]: 'models/{a,b}.pt' has braces" in done.err
    assert "one glob for each" in done.err


WRITES = """
import json, os, shutil
def again(name, data): open(name, "w").write(data)
again("plain.txt", "w=1")                                     # the same bytes, in place
os.utime("plain.txt", ns=(10**18, 10**18))
old = os.stat("back.txt").st_mtime_ns; again("back.txt", "w=1"); os.utime("back.txt", ns=(old, old))
again("new.tmp", "w=1"); os.replace("new.tmp", "over.txt")    # another file under the name
os.unlink("anew.txt"); again("anew.txt", "w=1")
with open("grown.txt", "a") as f: f.write("more")
os.truncate("grown.txt", 3)
shutil.copy2("mode.sh", "copied.txt")                         # cp --preserve onto another of the source
os.system("sed -i s/w/w/ sed.txt")
os.chmod("mode.sh", 0o755)                                    # no bytes written: these two are the source's
os.link("linked.txt", "name.txt")
open("changed.txt", "a").write("!")
os.unlink("gone.txt")
open("read.txt").read()
json.dump({"accuracy": 0.9}, open("metrics.json", "w"))
os.unlink("to"); os.symlink("plain.txt", "to")                # a link with the text that it had
"""
SAME = ("plain", "back", "over", "anew", "grown", "copied", "sed", "linked", "changed", "gone", "read")


def test_what_the_job_wrote_is_its_output_with_the_same_bytes_too(box: Box, tmp_path: Path) -> None:
    job = write_job(tmp_path / "job", WRITES)
    for name in SAME:
        (job.parent / f"{name}.txt").write_text("w=1")
    (job.parent / "mode.sh").write_text("w=1")
    (job.parent / "metrics.json").write_text('{"accuracy": 0.9}')
    (job.parent / "to").symlink_to("plain.txt")
    (job.parent / "same").symlink_to("plain.txt")
    run = box.json("submit", str(job))
    again = ["anew", "back", "copied", "grown", "over", "plain", "sed"]
    assert kept(run) == sorted([*(f"{n}.txt" for n in again), "changed.txt", "metrics.json", "name.txt"])
    assert [(one["path"], one["target"]) for one in run["outputs"] if one["reason"]] == [("to", "plain.txt")]
    assert run["metrics"] == {"accuracy": 0.9}
    assert "source: the job changed changed.txt" in run["notes"]
    assert "source: the job removed gone.txt" in run["notes"]
    assert any(note.startswith("source: the job wrote again, with the same bytes,") for note in run["notes"])
    origin = box.json("origin", str(job.parent / "plain.txt"))
    assert run["id"] in str(origin)


def test_metrics_that_came_with_the_source_are_nobodys(box: Box, tmp_path: Path) -> None:
    script = "open('metrics.jsonl', 'a').write('{\"step\": 1, \"loss\": 0.5}\\n')"
    job = write_job(tmp_path / "job", script)
    (job.parent / "metrics.json").write_text('{"accuracy": 0.99}')
    (job.parent / "metrics.jsonl").write_text('{"step": 1, "loss": 0.001}\n')
    (job.parent / "runs").mkdir()
    (job.parent / "runs/events.out.tfevents.1.host.1.0").write_bytes(b"")
    done = box.type("submit", str(job))
    assert done.code == 0
    assert "metrics.json came with the source and the job did not write it" in done.out
    assert "the first 27 bytes of metrics.jsonl came with the source" in done.out
    run = box.json("show", box.json("history")["runs"][0]["id"])
    assert run["metrics"] == {"loss": 0.5}
    assert kept(run) == ["metrics.jsonl"]


LINKS = """
import os
best = "b" if os.urandom(1)[0] % 2 else "a"
for n in "ab": open(f"ckpt_{n}.txt", "w").write(n)
os.symlink(f"ckpt_{best}.txt", "best.txt")
os.makedirs("deep"); os.symlink("../ckpt_a.txt", "deep/up.txt")
os.symlink("/etc/passwd", "out.txt"); os.symlink("a\\x1b", "odd"); os.mkfifo("fifo")
"""


def test_where_a_link_leads_is_recorded_compared_and_brought_back(box: Box, tmp_path: Path) -> None:
    job = write_job(tmp_path / "job", LINKS)
    run = box.json("submit", str(job))
    links = {one["path"]: one["target"] for one in run["outputs"] if one["target"]}
    assert links["best.txt"] in ("ckpt_a.txt", "ckpt_b.txt")
    assert (links["deep/up.txt"], links["out.txt"]) == ("../ckpt_a.txt", "/etc/passwd")
    for _ in range(40):
        again = box.type("rerun", run["image"], "--json").json
        other = {one["path"]: one["target"] for one in again["run"]["outputs"] if one["target"]}
        same = other == links
        assert again["verdict"]["outcome"] == ("not_instrumented" if same else "different") or (
            same and again["verdict"]["outcome"] == "identical"
        )
        if not same:
            break
    else:
        pytest.fail("forty tosses of a coin were alike")
    (difference,) = again["verdict"]["files"]
    assert difference["path"] == "best.txt"
    assert difference["note"] == f"original: link to {links['best.txt']}; rerun: link to {other['best.txt']}"

    done = box.type("outputs", run["id"], "--to", str(tmp_path / "back"))
    assert "2 files, 2 B, verified, 2 links" in done.out
    assert "not brought back: out.txt: a link to /etc/passwd, which leads outside" in done.out
    assert "not brought back: fifo: fifo" in done.out
    assert "not brought back: odd: symlink, and in its text: control character in name" in done.out
    assert (tmp_path / "back/deep/up.txt").read_text() == "a"
    assert (tmp_path / "back/best.txt").read_text() == links["best.txt"][5]
    assert not (tmp_path / "back/out.txt").is_symlink()


NAMES = [
    "\u5168\u89d2\u3000.txt",
    "9.41.00\u202fPM.png",
    "\U0001f468\u200d\U0001f467.txt",
    "\u0645\u200c.txt",
    "nbsp\u00a0x",
]


def test_names_of_all_the_world_go_there_and_back(box: Box, tmp_path: Path) -> None:
    script = (
        f"[open('new ' + name, 'w').write(name) for name in {NAMES!r}]; open('tab\\tname', 'w').write('x')"
    )
    job = write_job(tmp_path / "job", script, "inputs: {data: in}")
    (job.parent / "in").mkdir()
    for name in NAMES:
        (job.parent / name).write_text("source")
        (job.parent / "in" / name).write_text("data")
    (job.parent / "odd\r").write_text("a Mac makes such ones")
    run = box.json("submit", str(job))
    assert set(kept(run)) == {f"new {name}" for name in NAMES}
    assert [one["path"] for one in run["outputs"] if one["reason"]] == ["tab\\x09name"]
    assert set(NAMES) < set(run["source"])
    shown = box.type("outputs", run["id"]).out
    assert all(f"new {name}" in shown for name in NAMES)
    box.type("outputs", run["id"], "--to", str(tmp_path / "back"))
    assert (tmp_path / "back" / f"new {NAMES[0]}").read_text() == NAMES[0]
    again = box.json("rerun", run["id"], code=4)
    assert again["verdict"]["outcome"] == "not_instrumented"
    assert "what tab\\x09name holds was not looked at" in again["explanation"][0]
    assert box.type("export", run["id"], str(tmp_path / "bundle"), "--thin").code == 0
    assert box.type("import", str(tmp_path / "bundle")).code == 0
    assert box.type("export", "--format", "ro-crate", run["id"], str(tmp_path / "crate")).code == 0
