"""Files that only torch can read, compared inside a container: dates, other tensors, and files that bite."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.box import Box, write_job

pytestmark = [pytest.mark.engine, pytest.mark.acceptance]

TOLERANT = "tolerance: {outputs: {'model.pt': {abs: 0.0}}}"
CHECKPOINT = """
import time, torch
model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
optimizer = torch.optim.AdamW(model.parameters())
model(torch.ones(2, 4)).sum().backward()
optimizer.step()
saved = {'model': model.state_dict(), 'optimizer': optimizer.state_dict(), 'epoch': 3}
"""


def rerun(box: Box, folder: Path, script: str, extra: str = "", code: int = 3) -> Any:
    """The verdict of a rerun that differs unless `code` says otherwise. Nothing of the comparison stays."""
    run = box.json("submit", str(write_job(folder, script, extra)))
    verdict = box.json("rerun", run["id"], code=code)["verdict"]
    listed = ["docker", "ps", "--all", "--quiet", "--filter", f"label=reprise.run={verdict['rerun']}"]
    assert subprocess.run(listed, capture_output=True, text=True, check=True).stdout == ""
    assert [path.name for path in box.settings.attempts.iterdir()] == []
    return verdict


def test_a_date_in_a_checkpoint_is_named_and_excused_by_a_tolerance(box: Box, tmp_path: Path) -> None:
    script = CHECKPOINT + "saved['saved_at'] = time.time()\ntorch.save(saved, 'model.pt')"
    verdict = rerun(box, tmp_path / "job", script, TOLERANT, code=0)
    assert verdict["outcome"] == "within_tolerance"
    (finding,) = verdict["contents"]
    assert finding["equal_tensors"]
    assert finding["leaves"][0].startswith("saved_at: 1")
    note = verdict["files"][0]["note"]
    assert note.startswith(
        "within tolerance 'model.pt' (abs 0, rel 0): bytes differ, all 16 tensors are bit-"
    )
    # From the stored finding, so it needs no engine.
    box.json("audit", "--only", "verdicts", verdict["rerun"])
    pair = verdict["original"], verdict["rerun"]
    nowhere = box.type("compare", *pair, "--json", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert nowhere.code == 3
    again = nowhere.json["verdict"]
    assert "no engine answers" in again["contents"][0]["error"]
    assert again["files"][0]["note"].startswith("its tensors are not compared: no engine answers")


def test_another_tensor_is_named_with_its_distance_and_a_date_without_excuse(
    box: Box, tmp_path: Path
) -> None:
    noise = "saved['model']['1.weight'][0, 1] += int.from_bytes(os.urandom(2), 'big') / 65536\n"
    dated = "torch.save({'w': torch.ones(3), 'at': time.time()}, 'dated.ckpt')\n"
    script = "import os\n" + CHECKPOINT + dated + noise + "torch.save(saved, 'model.pt')"
    verdict = rerun(box, tmp_path / "job", script, TOLERANT)
    finding = verdict["contents"][1]
    assert (finding["differing"], finding["first"], finding["outside"]) == (1, "model.1.weight", 1)
    assert 0 < finding["max_abs"] < 1
    notes = {difference["path"]: difference["note"] for difference in verdict["files"]}
    assert notes["dated.ckpt"] == "bytes differ, its tensor is bit-equal; differs in: at"
    said = "not within tolerance 'model.pt' (abs 0, rel 0): 1 of 16 tensors differ, first model.1.weight;"
    assert notes["model.pt"].startswith(said)


HOSTILE = """
import io, os, struct, time, zipfile, torch
now = time.time_ns()

class Bomb:
    def __reduce__(self):
        return os.system, ('touch /tmp/pwned /run/reprise/pwned; echo pwned >&2',)
torch.save({'x': Bomb(), 'now': now}, 'code.pt')

layers = [now]
for _ in range(40):
    layers = [layers, layers]
torch.save(layers, 'laughs.pt')

torch.save({'x': torch.zeros(1).expand(10**6, 10**6), 'now': now}, 'wide.pt')

def rewritten(name, pickled):
    whole = io.BytesIO()
    torch.save({'x': torch.zeros(1000), 'now': now}, whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(name, 'w', 8, compresslevel=1) as new:
        for entry in old.namelist():
            data = old.read(entry)
            if entry.endswith('data.pkl'):
                data = pickled(data)
            new.writestr(entry, data, None if entry.endswith('data.pkl') else zipfile.ZIP_STORED)

# 800 MiB of zeros within the pickle, in 800 kB of a file; reading it takes three times as much
rewritten('zipped.pt', lambda data: data[:-1] + b'B' + struct.pack('<I', 800 << 20) + bytes(800 << 20) + b'.')
# a tensor of 10**12 elements over 4,000 bytes
huge = b'\\x8a\\x05\\x00\\x10\\xa5\\xd4\\xe8\\x85'
rewritten('claims.pt', lambda data: data.replace(b'M\\xe8\\x03\\x85', huge))
"""


def test_files_that_bite_are_refused_and_said_so(box: Box, tmp_path: Path) -> None:
    verdict = rerun(box, tmp_path / "job", HOSTILE, TOLERANT)
    said = {finding["path"]: finding["error"] for finding in verdict["contents"]}
    assert set(said) == {"code.pt", "laughs.pt", "wide.pt", "zipped.pt", "claims.pt"}
    assert "posix.system" in said["code.pt"]
    assert said["laughs.pt"] == "it holds more than 500000 entries"
    assert "killed, most likely for memory" in said["zipped.pt"]
    assert "1,000,000,000,000 elements in 4 bytes" in said["wide.pt"]
    assert said["claims.pt"] is not None
    print(said)
    assert all(not finding["equal_tensors"] for finding in verdict["contents"])
