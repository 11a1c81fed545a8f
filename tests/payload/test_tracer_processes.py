"""The tracer in processes that end, break, are started otherwise, or have nothing to trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.torch

# A loss and no optimizer: building one imports torch._dynamo, which takes a second or two.
TRAIN = """
import os, sys, torch
layer = torch.nn.Linear(4, 2)
def train(steps=3):
    for _ in range(steps):
        loss = layer(torch.randn(3, 4)).pow(2).mean()
        loss.backward()
        with torch.no_grad():
            for param in layer.parameters():
                param -= 0.1 * param.grad
    return loss.item()
"""


def traces(image: Any) -> list[list[dict[str, Any]]]:
    """Of every process that left one, what its lines say; in the order of their names."""
    files = sorted((image.root / "report").glob("trace-*.jsonl"))
    return [[json.loads(line) for line in file.read_text("ascii").splitlines()] for file in files]


def kinds(lines: list[dict[str, Any]]) -> set[str]:
    return {line["e"] for line in lines if "e" in line}


@pytest.mark.slow
def test_started_without_the_environments_variables(image: Any) -> None:
    done = image.run("-I", "-c", f"{TRAIN}\ntrain()", REPRISE_TRACE="all:1")
    (lines,) = traces(image)
    assert (done.code, done.err, lines[-1]["end"]) == (0, "", True)
    for kind in ("start", "end"):
        assert done.one(kind)["flags"]["trace"] == "all:1"


def test_without_torch_there_is_no_flag(image: Any) -> None:
    done = image.run("-c", "pass", REPRISE_TRACE="all:1")
    assert "trace" not in done.one("end")["flags"]


@pytest.mark.slow
def test_without_a_folder_for_reports_nothing_is_watched(image: Any) -> None:
    """As under a plain docker run of the image."""
    done = image.run("-c", f"{TRAIN}\ntrain()", REPRISE_TRACE="all:1", REPRISE_REPORT="/nowhere")
    assert (done.code, done.err) == (0, "")


@pytest.mark.slow
def test_what_only_infers_pays_nothing(image: Any) -> None:
    code = f"""{TRAIN}
if os.fork() == 0:
    with torch.no_grad(): layer(torch.zeros(1, 4))
    print('torch._dynamo' in sys.modules, flush=True)
    os._exit(0)
os.wait()
train()
print('torch._dynamo' in sys.modules)
"""
    done = image.run("-c", code, REPRISE_TRACE="all:1")
    (lines,) = traces(image)
    assert (done.code, done.out) == (0, "False\nFalse\n")
    assert lines[0]["pid"] == done.one("end")["pid"]


ENDS = {
    "sys.exit(3)": (3, True),
    "raise ValueError('of the user')": (1, True),
    "raise KeyboardInterrupt": (130, True),
    "os._exit(4)": (4, True),
    "os.kill(os.getpid(), 9)": (-9, False),
    "os.abort()": (-6, False),
}


@pytest.mark.slow
def test_every_kind_of_end(image: Any) -> None:
    """Each in a forked child, which trains; the parent has nothing to trace."""
    code = f"""{TRAIN}
import json, resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
for end in {list(ENDS)!r}:
    pid = os.fork()
    if pid == 0:
        train()
        break
    status = os.waitpid(pid, 0)[1]
    print(json.dumps([end, pid, status]), flush=True)
else:
    sys.exit(0)
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
exec(end)
"""
    done = image.run("-c", code, REPRISE_TRACE="all:1")
    assert done.code == 0, done.err
    found = {}
    for end, pid, status in map(json.loads, done.out.splitlines()):
        code = -(status & 127) if status & 127 else status >> 8
        file = image.root / "report" / f"trace-{pid}.jsonl"
        # A killed one leaves its header, too: without it nothing would say that it trained.
        whole = json.loads(file.read_text().splitlines()[-1]).get("end", False)
        found[end] = (130 if code == -2 else code, whole)
    assert found == ENDS
    assert not done.all("error")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wanted", "steps", "expected"),
    [
        ("params:1", [0, 1, 2, 3], {"init", "loss", "params"}),
        pytest.param(
            "all:3",
            [0, 3],
            {"init", "rng", "batch", "forward", "loss", "grads", "params"},
            marks=pytest.mark.acceptance,
        ),
    ],
)
def test_less_is_traced_where_less_is_wanted(
    image: Any, wanted: str, steps: list[int], expected: set[str]
) -> None:
    code = f"""{TRAIN}
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
for _ in range(4):
    layer(torch.randn(3, 4)).mean().backward()
    optimizer.step()
"""
    image.run("-c", code, REPRISE_TRACE=wanted)
    (lines,) = traces(image)
    tensors, _, every = wanted.partition(":")
    assert (lines[0]["tensors"], lines[0]["every"]) == (tensors, int(every))
    assert kinds(lines) == expected
    assert [line["s"] for line in lines if line.get("e") == "params"] == steps
    assert [line["s"] for line in lines if line.get("e") == "loss"] == [0, 1, 2, 3]


# What breaks


# A forked child that trains for longer under a LIMIT on its files, and what the process itself trains.
TWICE = f"""{TRAIN}
import resource, shutil
if os.fork() == 0:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what it says of its own loss
    os.write(1, repr(train(20)).encode())
    os._exit(0)
assert os.wait()[1] == 0
print(' then', train(), end=' ')
BREAK
print(train())
"""


@pytest.mark.slow
def test_the_job_goes_on_when_the_tracer_breaks(image: Any) -> None:
    """When the disk is full (of a forked child), what we need was replaced, the report folder is gone."""
    script = TWICE.replace("LIMIT, LIMIT", "-1, -1")
    plain = image.run("-c", script.replace("BREAK", "print([n for n in sys.modules if 'reprise.t' in n])"))
    assert (plain.code, traces(image)) == (0, [])  # without the variable nothing is loaded, either
    assert plain.one("end")["flags"]["trace"] == "off"
    assert "[]\n" in plain.out
    computed = plain.out.replace("[]\n", "")

    script = TWICE.replace("LIMIT, LIMIT", "1000, 1000").replace("BREAK", "torch.cuda.is_initialized = 7")
    done = image.run("-c", script, REPRISE_TRACE="all:1")
    assert (done.code, done.out, done.err) == (0, computed, "")
    whole = image.root / "report" / f"trace-{done.one('end')['pid']}.jsonl"
    (cut,) = set(whole.parent.glob("trace-*.jsonl")) - {whole}
    assert cut.stat().st_size <= 1000
    assert b'"end"' not in cut.read_bytes()
    last = json.loads(whole.read_text().splitlines()[-1])
    assert last["broken"].startswith("TypeError: 'int' object is not callable")
    assert {report["where"] for report in done.all("error")} == {"the trace"}
    assert done.one("start")["flags"]["trace"] == "all:1"
    assert done.one("end")["flags"]["trace"].startswith("failed: TypeError")

    script = TWICE.replace("LIMIT, LIMIT", "-1, -1")
    script = script.replace("BREAK", "shutil.rmtree(os.environ['REPRISE_REPORT'])")
    done = image.run("-c", script, REPRISE_TRACE="all:1")
    (image.root / "report").mkdir()
    assert (done.code, done.out) == (0, computed)
    assert "reprise: the trace failed, the job goes on without it" in done.err


def test_torch_that_is_not_as_we_know_it(image: Any) -> None:
    """A torch of another age: the tracer is not installed, and the record says so."""
    torch = image.root / "site" / "torch"
    torch.mkdir()
    (torch / "__init__.py").write_text("def manual_seed(seed): pass\n__version__ = '0.1'\n")
    done = image.run("-c", "import torch; print(torch.__version__)", REPRISE_TRACE="all:1", level="off")
    assert (done.code, done.out, done.err) == (0, "0.1\n", "")
    assert done.one("error")["where"] == "the trace"
    assert done.one("end")["flags"]["trace"].startswith("failed: AttributeError")


# Two ranks

RANK = """
import json, os, sys
import torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo")
model = DistributedDataParallel(torch.nn.Linear(4, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(2):
    optimizer.zero_grad()
    model(torch.full((3, 4), float(dist.get_rank() + step))).pow(2).mean().backward()
    optimizer.step()
dist.destroy_process_group()
"""


@pytest.mark.acceptance
def test_torchrun_with_two_ranks(image: Any, tmp_path: Path) -> None:
    script = tmp_path / "ranks.py"
    script.write_text(RANK)
    found = []
    for _ in range(2):
        argv = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
        done = image.run(*argv, REPRISE_TRACE="all:1", timeout=120)
        assert done.code == 0, done.err
        ranks = sorted(traces(image), key=lambda lines: lines[0]["rank"])
        assert [(lines[0]["rank"], lines[0]["world"]) for lines in ranks] == [(0, 2), (1, 2)]
        assert all(lines[-1] == {"end": True, "steps": 2, "events": 13} for lines in ranks)
        assert {line["n"] for line in ranks[0] if "n" in line} == {"Linear"}
        assert {row[0] for line in ranks[0] for row in line.get("tensors", ()) if "table" in line} == {
            "weight",
            "bias",
        }
        found.append([lines[1:] for lines in ranks])
    assert found[0] == found[1]
    digests = [[line["d"] for line in lines if line.get("e") == "params"] for lines in found[0]]
    assert digests[0] == digests[1]  # of both ranks: their gradients were averaged
    batches = [[line["v"] for line in lines if line.get("e") == "batch"] for lines in found[0]]
    assert batches[0] != batches[1]


def test_a_killed_process_has_written_what_it_did_until_a_second_ago(image: Any) -> None:
    """Its steps, those before an evaluation, and the flags that the script had moved."""
    code = f"""{TRAIN}
import signal, time
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
torch.backends.mkldnn.deterministic = False
for _ in range(3):
    layer(torch.ones(3, 4)).sum().backward()
    optimizer.step()
    time.sleep(0.6)
with torch.no_grad():
    layer(torch.ones(3, 4))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = image.run("-c", code, REPRISE_TRACE="all:1")
    (lines,) = traces(image)
    assert [line["s"] for line in lines if line.get("e") == "params"] == [0, 1, 2]
    assert "end" not in lines[-1]
    assert done.one("start")["flags"]["mkldnn.deterministic"] is True
    assert done.one("now")["flags"]["mkldnn.deterministic"] is False
    assert done.all("end") == []
