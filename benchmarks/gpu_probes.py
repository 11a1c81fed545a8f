"""What a Python with PyTorch can tell of a GPU: digests, what flags and trace cost, `index_add_`.

    gpu_probes.py NAME [--device cuda] [--small]

Prints one JSON line last: `state` (passed or failed), `says` (a sentence), `numbers`. It needs torch and the
payload only, so it runs with any Python that has CUDA, outside a container, and as a job in one.
`--device cpu --small` is the rehearsal: the same code, where it says nothing about a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the payload, installed or not

PARAMETERS = {True: (1e4, 1e6), False: (123e6, 126e6)}  # GPT-2's smallest has 124 million
TRIES = 20


def digests(torch: Any, device: str, small: bool) -> dict[str, Any]:
    """One digest for the same bytes on the CPU and on the device, for each dtype, size and layout."""
    from orchestrator.payload.tensor_digest.digester import Digester, describe, to_ints

    tensors = list(examples(torch, small))
    digester = Digester(torch)
    here = to_ints(digester.digest(tensors))
    there = to_ints(digester.digest([as_laid_out(tensor, device) for tensor in tensors]))
    pairs = zip(tensors, here, there, strict=True)
    wrong = [describe(tensor) for tensor, one, other in pairs if one is None or one != other]
    large = torch.randn(1 << (20 if small else 27), device=device)
    numbers = {"tensors": len(tensors), "gigabytes_per_second": speeds(torch, digester, large)}
    kernel = "the fused kernel" if "TritonEngine" in numbers["gigabytes_per_second"] else "torch operations"
    rates = ", ".join(f"{name} {rate} GB/s" for name, rate in numbers["gigabytes_per_second"].items())
    says = f"{len(tensors)} tensors of {len(DTYPES)} dtypes have one digest, by {kernel}; {rates}"
    if wrong:
        says = f"{len(wrong)} of {len(tensors)} tensors differ, first {wrong[0]}"
    notes = "".join(f"; {note}" for note in digester.notes)
    fused = device == "cpu" or kernel == "the fused kernel"
    return answer(not wrong and fused and not digester.notes, says + notes, numbers)


DTYPES = ("float32", "bfloat16", "float16", "float64", "int64", "int32", "uint8", "bool", "complex64")


def examples(torch: Any, small: bool) -> Any:
    """Random bits of every dtype: sizes around the ends of words, rows, tiles; views."""
    generator = torch.Generator().manual_seed(3)
    for name in DTYPES:
        dtype = getattr(torch, name)
        for size in (0, 1, 7, 255, 2049, 16_387, 65_536 if small else 3_000_001):
            bits = torch.randint(0, 256, (size * dtype.itemsize,), dtype=torch.uint8, generator=generator)
            yield (bits % 2 if name == "bool" else bits).view(dtype)
        whole = torch.randint(0, 2, (90, 100), generator=generator).to(dtype)
        yield from (whole.t(), whole[1:, 3:], whole[0, 0])


def as_laid_out(tensor: Any, device: str) -> Any:
    """A copy of its storage on the device, with the same strides and offset: `.to` would lay it out anew."""
    storage = tensor.new_empty(0).set_(tensor.untyped_storage())
    return storage.to(device).as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())


def speeds(torch: Any, digester: Any, large: Any) -> dict[str, float]:
    """Gigabytes a second of each way to digest a tensor on its device."""
    from orchestrator.payload.tensor_digest.torch_engine import TorchEngine

    chosen = digester._engine(large.device)
    engines = {type(one).__name__: one for one in (TorchEngine(torch, large.device), chosen)}
    found = {}
    for name, engine in engines.items():
        engine.digest([large])
        seconds = timed(torch, large.device.type, lambda engine=engine: engine.digest([large]), 5)
        found[name] = round(large.nbytes / statistics.median(seconds) / 1e9, 1)
    return found


def step(torch: Any, device: str, small: bool) -> dict[str, Any]:
    """A step of GPT-2's smallest size in bf16: without flags, with them, and with the trace as well.

    In one process, in this order, and the first once more: what was installed cannot be taken out.
    """
    from orchestrator.payload import report_writer
    from orchestrator.payload.determinism.torch_settings import apply_torch
    from orchestrator.payload.tracer import install_tracer

    blocks, length = (2, 2) if small else (8, 10)
    model, train = gpt2(torch, device, small)
    count = sum(parameter.numel() for parameter in model.parameters())
    least, most = PARAMETERS[small]
    if not least < count < most:
        raise ValueError(f"the model has {count} parameters")
    plain = per_step(torch, device, train, blocks, length)
    unset = apply_torch(torch, "strict", 1)
    flags = per_step(torch, device, train, blocks, length)
    with tempfile.TemporaryDirectory() as folder:
        report_writer.FOLDER = folder
        install_tracer.install(torch, "all", 1, lambda: None)
        traced = per_step(torch, device, train, blocks, length)
        install_tracer.finish()
        written = (Path(folder) / f"trace-{os.getpid()}.jsonl").read_text().splitlines()
    whole = f'"end":true,"steps":{length * (blocks + 1)}' in written[-1]
    medians = [1000 * statistics.median(one) for one in (plain, flags, traced)]
    numbers = {
        "parameters": count,
        "milliseconds": dict(zip(("plain", "flags", "flags and trace"), medians, strict=True)),
        "flags_not_set": unset,
        "bytes_of_trace_per_step": round(sum(map(len, written)) / (length * (blocks + 1))),
    }
    says = (
        f"{count / 1e6:.1f} M parameters, {medians[0]:.1f} ms a step; "
        f"with flags {medians[1]:.1f} ({cost(medians[0], medians[1])}); "
        f"with flags and trace {medians[2]:.1f} ({cost(medians[1], medians[2])})"
    )
    if not whole:
        says = f"the trace is not whole: {written[-1][:200]}"
    return answer(whole, says, numbers)


def cost(before: float, after: float) -> str:
    return f"{100 * (after / before - 1):+.1f} %"


def per_step(torch: Any, device: str, train: Callable[[], None], blocks: int, length: int) -> list[float]:
    """Seconds of a step, in each of some blocks of steps that begin and end with an idle device.

    One block before them warms up. To wait for the device after each step would hide what runs meanwhile.
    """

    def block() -> None:
        for _ in range(length):
            train()

    block()
    return [seconds / length for seconds in timed(torch, device, block, blocks)]


def timed(torch: Any, device: str, action: Callable[[], Any], times: int) -> list[float]:
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    took = []
    for _ in range(times):
        wait()
        begun = time.perf_counter()
        action()
        wait()
        took.append(time.perf_counter() - begun)
    return took


def gpt2(torch: Any, device: str, small: bool) -> tuple[Any, Callable[[], None]]:
    """The model and its training step: weights in fp32, mathematics in bf16, AdamW, as nanoGPT trains it."""
    nn = torch.nn
    words, length, width, heads, depth, batch = (
        (512, 32, 64, 2, 2, 2) if small else (50304, 1024, 768, 12, 12, 8)
    )

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attend, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.think = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width)
            )

        def forward(self, x: Any) -> Any:
            size = (x.shape[0], x.shape[1], heads, width // heads)
            parts = [part.view(size).transpose(1, 2) for part in self.attend(self.before(x)).split(width, 2)]
            seen = nn.functional.scaled_dot_product_attention(*parts, is_causal=True)
            x = x + self.project(seen.transpose(1, 2).reshape(x.shape))
            return x + self.think(self.between(x))

    class Gpt2(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
            self.blocks = nn.Sequential(*(Block() for _ in range(depth)))
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)
            self.head.weight = self.words.weight

        def forward(self, x: Any) -> Any:
            return self.head(self.norm(self.blocks(self.words(x) + self.places.weight)))

    torch.manual_seed(1)
    model = Gpt2().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def train() -> None:
        text = torch.randint(0, words, (batch, length + 1), device=device)
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16):
            scores = model(text[:, :-1])
            loss = nn.functional.cross_entropy(scores.flatten(0, 1), text[:, 1:].flatten())
        loss.backward()
        optimizer.step()

    return model, train


def index_add(torch: Any, device: str, small: bool) -> dict[str, Any]:
    """How many different sums come out of the same numbers, without the determinism flags and with them."""
    from orchestrator.payload.determinism.torch_settings import apply_torch
    from orchestrator.payload.tensor_digest.digester import Digester, to_ints

    torch.manual_seed(2)
    rows = 2_000 if small else 200_000
    index, values = torch.randint(0, 50, (rows,), device=device), torch.randn(rows, 64, device=device)
    digester = Digester(torch)

    def add() -> int | None:
        start = torch.zeros(50, 64, device=device)
        if device == "cpu" and not torch.are_deterministic_algorithms_enabled():
            start += torch.frombuffer(bytearray(os.urandom(1)), dtype=torch.uint8).to(start)  # a GPU's part
        return to_ints(digester.digest([start.index_add_(0, index, values)]))[0]

    without = len({add() for _ in range(TRIES)})
    apply_torch(torch, "strict", 1)
    with_flags = len({add() for _ in range(TRIES)})
    says = f"{TRIES} sums of the same numbers: {without} different without flags, {with_flags} with them"
    return answer(without > 1 and with_flags == 1, says, {"without": without, "with": with_flags})


def answer(passed: bool, says: str, numbers: dict[str, Any]) -> dict[str, Any]:
    return {"state": "passed" if passed else "failed", "says": says, "numbers": numbers}


PROBES: dict[str, Callable[[Any, str, bool], dict[str, Any]]] = {
    "digests": digests,
    "step": step,
    "index_add": index_add,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", choices=[*PROBES, "torch"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--output", type=Path, help="a file for the answer, in addition")
    asked = parser.parse_args()
    # cuBLAS wants it set before its first use; it is set for both sides of a comparison.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    if asked.name == "torch":
        sees = asked.device == "cpu" or torch.cuda.is_available()
        found = answer(sees, f"torch {torch.__version__} at {sys.executable}", {"cuda": torch.version.cuda})
    else:
        found = PROBES[asked.name](torch, asked.device, asked.small)
    line = json.dumps(found)
    if asked.output is not None:
        asked.output.write_text(line + "\n")
    print(line)


if __name__ == "__main__":
    main()
