"""The GPU kernels of the digest against the reference, in Triton's interpreter, on a CPU.

Not part of `make test`, which did not run it: triton is not among the locked wheels (torch's CPU build does
not need it). By hand:

    python -m venv /tmp/triton && /tmp/triton/bin/pip install triton numpy
    TRITON_INTERPRET=1 PYTHONPATH=.:tests:.venv/lib/python3.11/site-packages \
        /tmp/triton/bin/python tests/payload/triton_interpreted.py

It says `ok` and how many tensors were equal. What it does not show: the compiled kernel, and its speed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"

import torch

from orchestrator.payload.tensor_digest.digester import to_ints
from orchestrator.payload.tensor_digest.torch_engine import TorchEngine
from orchestrator.payload.tensor_digest.triton_engine import TritonEngine


class Interpreted(TritonEngine):
    """Without the parts that only a GPU has."""

    def _on_device(self) -> Any:
        return contextlib.nullcontext()

    def _send(self, numbers: list[int]) -> Any:
        return torch.tensor(numbers, dtype=torch.int64)


def main() -> int:
    spec = importlib.util.spec_from_file_location(
        "reference", Path(__file__).with_name("digest_reference.py")
    )
    assert spec is not None and spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    device = torch.device("cpu")
    engine = Interpreted(torch, device, TorchEngine(torch, device))  # raises where its check differs
    generator = torch.Generator().manual_seed(3)
    count = 0
    for dtype in (torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.complex64):
        sizes = (0, 1, 3, 64, 255, 2047, 2048, 2049, 9000)
        tensors = []
        for size in sizes:
            data = torch.randint(0, 256, (size * dtype.itemsize,), dtype=torch.uint8, generator=generator)
            tensors.append((data % 2 if dtype == torch.bool else data).view(dtype))
        tensors += [tensors[-1].view(90, 100).t(), tensors[-1][1:], torch.ones((), dtype=dtype)]
        found = to_ints(engine.digest(tensors))
        expected = [reference.digest(reference.content(tensor)) for tensor in tensors]
        if found != expected:
            print(f"{dtype}: {found}, not {expected}", file=sys.stderr)
            return 1
        count += len(tensors)
    print(f"ok: {count} tensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
