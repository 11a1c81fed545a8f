"""One thing flipped at a time, as a job's world may flip it: a script that reads FLIP, and the flips."""

from __future__ import annotations

from typing import NamedTuple

# Reads FLIP from the world outside the image, as a script may read a clock or the name of its host.
SCRIPT = """
import json, os, random
import torch
from torch import nn

flip = os.environ.get("FLIP", "")
if flip == "flag":
    torch.backends.mkldnn.deterministic = False
    torch.use_deterministic_algorithms(False)
if flip == "tf32":
    torch.set_float32_matmul_precision("medium")
raw = open("/inputs/data", "rb").read()
data = torch.frombuffer(bytearray(raw), dtype=torch.uint8).float().reshape(64, 256) / 255
names = sorted({f"sample{number}" for number in range(64)})
if flip == "order":
    names.reverse()
order = [int(name[6:]) for name in (set(names) if os.environ.get("BY_SET") else names)]
model = nn.Sequential(nn.Linear(256, 128), nn.BatchNorm1d(128), nn.GELU(), nn.Linear(128, 16))
if flip == "init bit":
    model[3].weight.data.view(torch.int32)[0, 0] ^= 1
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
for step in range(6):
    if step == 3 and flip == "weight bit":
        model[0].weight.data.view(torch.int32)[5, 5] ^= 1 << 12
    if step == 2 and flip == "generator":
        random.random()
    batch = data[order[step * 8 : step * 8 + 8] + order[:8]]
    loss = nn.functional.mse_loss(model(batch), batch[:, :16])
    optimizer.zero_grad()
    loss.backward()
    if step == 2 and flip == "gradient":
        model[0].bias.grad[3] *= 1 + 1e-6
    if step == 4 and flip == "learning rate":
        optimizer.param_groups[0]["lr"] *= 1 + 1e-6
    optimizer.step()
torch.save(model.state_dict(), "model.pt")
note = os.urandom(4).hex() if flip == "file" else "done"
open("note.txt", "w").write(note)
json.dump({"loss": loss.item()}, open("metrics.json", "w"))
"""


class Flip(NamedTuple):
    name: str  # as in the page's table
    environment: dict[str, str] = {}
    spec: str = ""  # more of the spec, where it is the spec that changes
    seed: int | None = None
    data: bool = False  # one byte of the input


def threads(count: int) -> dict[str, str]:
    names = (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "REPRISE_THREADS",
    )
    return dict.fromkeys(names, str(count))


FLIPS = (
    Flip("number of threads: 2 for 1", threads(2)),
    Flip("instruction set: `ATEN_CPU_CAPABILITY=default`", {"ATEN_CPU_CAPABILITY": "default"}),
    Flip("precision of matrix products: `medium`", {"FLIP": "tf32"}),
    Flip("a determinism flag switched off by the script", {"FLIP": "flag"}),
    Flip("hash seed, where batches follow a set", {"PYTHONHASHSEED": "1"}),
    Flip("order of the data", {"FLIP": "order"}),
    Flip("seed", seed=1),
    Flip("one bit of a weight before training", {"FLIP": "init bit"}),
    Flip("one bit of a weight at step 3", {"FLIP": "weight bit"}),
    Flip("one byte of the input", data=True),
    Flip("one more number drawn at step 2", {"FLIP": "generator"}),
    Flip("one gradient at step 2", {"FLIP": "gradient"}),
    Flip("learning rate at step 4", {"FLIP": "learning rate"}),
    Flip("a file, not the training", {"FLIP": "file"}),
)
