"""A training step with and without the tracer: a character transformer and a CNN of 10 M parameters each.

Every measurement is a process of its own (`trace_cost.py MODEL THREADS STEPS FOLDER`) that trains and prints
its median step, traced where FOLDER is not empty, and which share of a step was spent inside the tracer: that
number does not suffer from what else the machine does between two processes. No engine is needed.

The cost is that of reading gradients and parameters once, whatever the batch: the CNN is there with two.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rounds

STEPS = 14
ROUNDS = 3
FIRST = 3  # steps that warm up, and pay for the tracer's look at all that there is


def main() -> None:
    tables: dict[str, dict[str, list[float]]] = {}
    facts: dict[str, object] = {"steps": STEPS}
    with tempfile.TemporaryDirectory() as folder:
        for model in MODELS:
            for threads in (2, 1):
                shares: list[float] = []
                variants = {
                    "plain": child(model, threads, "", []),
                    "traced": child(model, threads, folder, shares),
                    "plain again": child(model, threads, "", []),
                }
                title = f"{model}, {threads} thread{'s' if threads > 1 else ''}"
                tables[title] = rounds.measure(variants, ROUNDS)
                facts[f"share of a step inside the tracer, {title}"] = round(statistics.median(shares), 4)
        sizes = [path.stat().st_size for path in Path(folder).glob("trace-*.jsonl")]
        facts["bytes_of_trace_per_step"] = round(statistics.mean(sizes) / STEPS)
    rounds.report("trace_cost", tables, **facts)


def child(model: str, threads: int, folder: str, shares: list[float]) -> Callable[[], float]:
    command = [sys.executable, __file__, model, str(threads), str(STEPS), folder]
    env = rounds.environ(OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))

    def once() -> float:
        step, share = map(float, rounds.run(command, env).split()[-2:])
        shares.append(share)
        return step

    return once


def timed(tracer: Any, spent: list[float]) -> None:
    """Have the tracer's own seconds added up in `spent[0]`."""
    record = tracer.guarded

    def guarded(*args: Any) -> Any:
        begun = time.perf_counter()
        answer = record(*args)
        spent[0] += time.perf_counter() - begun
        return answer

    tracer.guarded = guarded


def train(name: str, threads: int, steps: int, folder: str) -> tuple[float, float]:
    """Seconds of the median step, and the median share of it that was the tracer's."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    spent = [0.0]
    if folder:
        from orchestrator.payload import report_writer
        from orchestrator.payload.tracer import install_tracer

        report_writer.FOLDER = folder
        install_tracer.install(torch, "all", 1, lambda: None)
        timed(install_tracer._tracer, spent)
    model, batch = MODELS[name](torch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    count = sum(parameter.numel() for parameter in model.parameters())
    if not 9e6 < count < 12e6:
        raise ValueError(f"{name} has {count} parameters")
    took, shares = [], []
    for _ in range(steps):
        spent[0] = 0.0
        begun = time.perf_counter()
        x, y = batch()
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        took.append(time.perf_counter() - begun)
        shares.append(spent[0] / took[-1])
    if folder:
        install_tracer.finish()
        written = (Path(folder) / f"trace-{os.getpid()}.jsonl").read_text().splitlines()
        if f'"end":true,"steps":{steps}' not in written[-1]:
            raise RuntimeError(f"the trace is not whole: {written[-1]}")
    return statistics.median(took[FIRST:]), statistics.median(shares[FIRST:])


def transformer(torch: Any) -> tuple[Any, Callable[[], Any]]:
    """As nanoGPT's small one: 6 layers, 6 heads, 384 wide, 64 characters, 12 texts a batch."""
    nn, words, width, length = torch.nn, 65, 384, 64

    class Model(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(words, width)
            self.places = nn.Embedding(length, width)
            layer = nn.TransformerEncoderLayer(width, 6, 4 * width, 0.2, "gelu", batch_first=True)
            self.blocks = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
            self.head = nn.Linear(width, words)
            self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length))

        def forward(self, x: Any) -> Any:
            x = self.words(x) + self.places.weight
            return self.head(self.blocks(x, self.mask, is_causal=True)).flatten(0, 1)

    return Model(), lambda: (
        torch.randint(0, words, (12, length)),
        torch.randint(0, words, (12 * length,)),
    )


def cnn(torch: Any, pictures: int = 64) -> tuple[Any, Callable[[], Any]]:
    """Seven convolutions with normalisation, on pictures of 32 x 32."""
    nn = torch.nn
    layers: list[Any] = []
    before = 3
    for channels in (64, 128, 256, 512, 512, 512, 512):
        layers += [nn.Conv2d(before, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()]
        if channels < 512 or before == 256:
            layers.append(nn.MaxPool2d(2))
        before = channels
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(512 * 4, 512), nn.ReLU(), nn.Linear(512, 10))
    return model, lambda: (torch.randn(pictures, 3, 32, 32), torch.randint(0, 10, (pictures,)))


MODELS: dict[str, Callable[[Any], tuple[Any, Callable[[], Any]]]] = {
    "transformer": transformer,
    "cnn": cnn,
    "cnn with 16 pictures": lambda torch: cnn(torch, 16),
}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(*train(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
    else:
        main()
