"""Verbs that are killed, or whose disk fails, at any of their calls; what must hold after the next ones."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.digest import Digest
from support.box import Box, Outcome, containers, make_box, small_job
from support.services import RegistryServer
from support.syscall_faults import Call, Decide, asked, failing_at, full_from, killed_at, no_fault

SCRIPT = """
import os
data = open('/inputs/data/a.txt').read()
print('read', len(data))
open('out.bin', 'wb').write(b'o' * 300_000)
os.mkdir('deep')
open('deep/more.txt', 'w').write(data)
open('metrics.json', 'w').write('{"loss": 0.5}')
"""
FAULTS: Mapping[str, Callable[[int], Decide]] = {
    "killed": killed_at,
    "full": full_from,
    "failing": failing_at,
}


class Scene:
    """A job with an input, and a bundle of a run of it; and a new home for each try."""

    def __init__(self, small: Box, hub: RegistryServer, folder: Path) -> None:
        self._small, self.hub, self._folder, self._homes = small, hub, folder, 0
        self.data, self.bundle = folder / "data", folder / "bundle.tar"
        (self.data / "below").mkdir(parents=True)
        for name, size in (("a.txt", 100), ("below/b.bin", 3 << 20), ("below/c.bin", 1 << 16)):
            (self.data / name).write_bytes((name.encode() * size)[:size])
        self.spec = small_job(folder / "job", SCRIPT, f"inputs:\n  data: {{path: {self.data}}}")
        (self.spec.parent / "noise.bin").write_bytes(bytes(range(256)) * 4000)
        first = self.home()
        self.run = first.json("submit", str(self.spec))
        assert self.run["state"] == "succeeded", self.run
        assert first.type("export", self.run["id"], str(self.bundle), "--inputs").code == 0

    def home(self, *, pushes: bool = False) -> Box:
        """`pushes`: with a repository of the registry that has nothing."""
        self._homes += 1
        place = {"REPRISE_REGISTRY": self.hub.place(f"try{self._homes}")} if pushes else {}
        return make_box(self._folder / f"home{self._homes}", self._small.settings, **place)


@dataclass(frozen=True)
class Verb:
    words: Callable[[Scene], list[str]]
    pushes: bool = False
    records: bool = True
    before: Callable[[Scene], list[str]] | None = None  # what is typed in the home first


VERBS: Mapping[str, Verb] = {
    "build": Verb(lambda scene: ["build", str(scene.spec)], records=False),
    "build --push": Verb(lambda scene: ["build", "--push", str(scene.spec)], pushes=True, records=False),
    "submit": Verb(lambda scene: ["submit", str(scene.spec)]),
    "submit to a registry": Verb(lambda scene: ["submit", str(scene.spec)], pushes=True),
    "rerun": Verb(
        lambda scene: ["rerun", scene.run["id"]], before=lambda scene: ["import", str(scene.bundle)]
    ),
    "import": Verb(lambda scene: ["import", str(scene.bundle)]),
    "data add": Verb(lambda scene: ["data", "add", str(scene.data), "--name", "digits"]),
}


@dataclass
class Tried:
    """One try at a verb with a fault."""

    where: str
    done: Outcome
    trouble: list[str] = field(default_factory=list)


class Trial:
    """A verb, and the calls that it makes where nothing happens to it."""

    def __init__(self, scene: Scene, verb: str) -> None:
        self.scene, self.verb = scene, VERBS[verb]
        box = self._home()
        done, self.calls = self._typed(box, no_fault)
        assert done.code == 0, done
        trouble = self._next_commands(box)
        assert not trouble, trouble
        self._names = names_in(box)

    def points(self, most: int) -> list[int]:
        """Calls, from 1: `most` of the first and the middle one of each group of equal ones."""
        found, at = [], 0
        while at < len(self.calls):
            end = at
            while end < len(self.calls) and self.calls[end] == self.calls[at]:
                end += 1
            found += [at + 1, (at + end) // 2 + 1][: min(end - at, 2)]
            at = end
        parts = min(most, len(found))
        return [found[(2 * part + 1) * len(found) // (2 * parts)] for part in range(parts)]

    def fault(self, fault: str, point: int) -> Tried:
        """Have the fault at that call, then type what a person types, and look at all that is there."""
        box = self._home()
        done, calls = self._typed(box, FAULTS[fault](point))
        call = calls[point - 1] if point <= len(calls) else "the end"
        tried = Tried(f"{fault} at call {point}, {call}: exit {done.code}", done)
        if fault == "killed":
            wrong = [] if done.code == -9 or point > len(calls) else ["it lived"]
        else:
            wrong = _wrong_words(done)
        trouble = [*wrong, *self._next_commands(box, may_fail=fault != "killed")]
        if strange := sorted(names_in(box) - self._names):
            trouble.append(f"left over: {strange}")
        tried.trouble = [f"{tried.where}: {one}" for one in [*trouble, *wrong_bytes(box)]]
        shutil.rmtree(box.settings.home)
        return tried

    def _home(self) -> Box:
        box = self.scene.home(pushes=self.verb.pushes)
        if self.verb.before is not None:
            done = box.type(*self.verb.before(self.scene))
            assert done.code == 0, done
        return box

    def _typed(self, box: Box, decide: Decide) -> tuple[Outcome, list[Call]]:
        with asked(decide) as one:
            return box.type(*self.verb.words(self.scene), "--json", **one.variables), one.calls

    def _next_commands(self, box: Box, *, may_fail: bool = False) -> list[str]:
        """What is wrong after a person has gone on. `may_fail`: a run, before it began."""
        typed = [["worker", "recover"]] if self.verb.records else []
        typed += [[*self.verb.words(self.scene), "--json"], ["worker", "recover"]]
        typed += [["audit"], ["store", "gc"]] if self.verb.records else []
        done = {" ".join(words): box.type(*words) for words in typed}
        trouble = [f"then {words}: {one}" for words, one in done.items() if one.code]
        if self.verb.pushes:
            trouble += _missing_in(self.scene.hub, box, self.verb.words(self.scene))
        return trouble + (self._wrong_runs(box, may_fail) if self.verb.records else [])

    def _wrong_runs(self, box: Box, may_fail: bool) -> list[str]:
        trouble = []
        for line in box.json("history", "--limit", "50")["runs"]:
            run = box.json("show", line["id"])
            if run["state"] == "succeeded" and _left(run) != _left(self.scene.run):
                trouble.append(f"run {run['id']} has succeeded, and has {_left(run)}")
            if run["rerun_of"] and run["state"] == "succeeded" and line["verdict"] != "identical":
                trouble.append(f"run {run['id']} has the verdict {line['verdict']}")
            if run["state"] != "succeeded" and not (may_fail and run["failure"] == "infrastructure"):
                trouble.append(f"run {run['id']} is {run['state']}: {run['message']}")
            if there := containers(run["id"]):
                trouble.append(f"containers {there}")
        return trouble


def _wrong_words(done: Outcome) -> list[str]:
    """After a fault of the disk a verb goes on without what it can do without, or says one thing."""
    if done.code == 0:
        return []
    said = done.err.splitlines()
    errors = [json.loads(line)["error"] for line in said if line.startswith('{"error"')]
    odd = "Traceback" in done.err or [one for one in errors if one["kind"] == "Crash" or not one["hint"]]
    return [f"it says {done.err}"] if done.code != 5 or len(errors) != 1 or odd else []


def _left(run: Any) -> Any:
    """What a run of the job leaves in the record."""
    outputs = {one["path"]: one["digest"] for one in run["outputs"]}
    return outputs, run["metrics"], run["log"] and run["log"]["digest"], len(run["traces"])


def _missing_in(hub: RegistryServer, box: Box, words: list[str]) -> list[str]:
    """What of the image is not in the registry, or has other bytes there."""
    digest = box.json("build", words[-1])["digest"]
    manifest = json.loads(hub.blob(digest).read_bytes())
    parts = {digest, manifest["config"]["digest"], *(one["digest"] for one in manifest["layers"])}
    return [f"the registry lacks {one}" for one in parts if Digest.of(hub.blob(one).read_bytes()) != one]


def names_in(box: Box) -> set[str]:
    """The files of a home, by the form of their names."""
    home = box.settings.home
    names = (str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir())
    return {re.sub(r"[0-9a-f]{12,}", "#", re.sub(r"/[0-9a-f]{2}/", "/##/", name)) for name in names}


def wrong_bytes(box: Box) -> list[str]:
    """Files that are named by a digest which is not theirs."""
    home = box.settings.home
    places = [home / "store" / "sha256", home / "inputs" / "files", home / "images" / "blobs"]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    own = [
        path for path in files if path.stat().st_nlink == 1 or "images" not in path.parts
    ]  # not the base's
    return [f"{path} has other bytes" for path in own if Digest.of(path.read_bytes()).hex != path.name]
