"""The digest of all parameters of a model: 10.6 M fp32 in 72 tensors, beside other ways to compare them.

Each number of threads and each instruction set is a process of its own: torch reads both at its start.
`torch.hash_tensor` is no substitute (an XOR: order and duplicates are lost); it shows the speed of reading.
It and `sum` get the bytes as int64, the way they are fastest.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rounds import environ, measure, report, run, timed

ROUNDS = 25
LEVELS = ("avx2", "default of the machine")
SHAPES = (
    [(704, 768), (768,)]  # embedding and its norm
    + [(768, 768), (768,), (1280, 768), (1280,), (768, 1280), (768,), (384, 384), (384,)] * 3
    + [(128, 128, 3, 3), (128,), (128,)] * 13
    + [(10, 768), (10,), (64, 3, 7, 7), (64,), (64,), (64, 64), (64,)]
)


def tensors() -> list[Any]:
    import torch

    generator = torch.Generator().manual_seed(0)
    found = [torch.randn(shape, generator=generator) for shape in SHAPES]
    if len(found) != 72 or not 10.5e6 < sum(tensor.numel() for tensor in found) < 10.7e6:
        raise RuntimeError(f"{len(found)} tensors, {sum(tensor.numel() for tensor in found)} numbers")
    return found


def child() -> None:
    """Print the seconds of each variant, at the threads and instruction set of the environment."""
    import torch

    from orchestrator.payload.tensor_digest.digester import Digester

    model = tensors()
    norms = [torch.randn(64) for _ in range(200)]
    words = [tensor.flatten()[: tensor.numel() // 2 * 2].view(torch.int64) for tensor in model]
    data = [memoryview(tensor.flatten().numpy()).cast("B") for tensor in model]
    digester = Digester(torch)
    work: dict[str, Callable[[], object]] = {
        "digest, ours": lambda: digester.digest(model),
        "digest of 200 tensors of 64, ours": lambda: digester.digest(norms),
        "torch.hash_tensor": lambda: [torch.hash_tensor(tensor) for tensor in words],
        "torch.sum of int64": lambda: [tensor.sum() for tensor in words],
        "hashlib.blake2b": lambda: [hashlib.blake2b(one).digest() for one in data],
        "hashlib.sha256": lambda: [hashlib.sha256(one).digest() for one in data],
    }
    seconds = measure({name: lambda action=action: timed(action) for name, action in work.items()}, ROUNDS)
    if digester.notes:
        raise RuntimeError(f"not as planned: {digester.notes}")
    bytes_ = sum(tensor.nbytes for tensor in model)
    print(json.dumps({"seconds": seconds, "bytes": bytes_, "isa": torch.backends.cpu.get_cpu_capability()}))


def main() -> None:
    tables = {}
    speed = {}
    for level in LEVELS:
        for threads in (1, 2):
            env = environ(OMP_NUM_THREADS=str(threads), PYTHONWARNINGS="ignore")
            env.pop("ATEN_CPU_CAPABILITY", None)
            if level == "avx2":
                env["ATEN_CPU_CAPABILITY"] = level
            found = json.loads(run([sys.executable, str(Path(__file__).resolve()), "child"], env))
            title = f"10.6 M parameters in 72 tensors, threads: {threads}, instructions: {found['isa']}"
            tables[title] = found["seconds"]
            speed[f"{found['isa']}, {threads} threads"] = {
                name: [
                    round(found["bytes"] / second / 1e9, 1) for second in (statistics.median(took), min(took))
                ]
                for name, took in found["seconds"].items()
                if "200" not in name
            }
    report("tensor_digest", tables, gigabytes_per_second_median_and_best=speed)


if __name__ == "__main__":
    if "child" in sys.argv:
        child()
    else:
        main()
