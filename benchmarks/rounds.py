"""Interleaved rounds: A B C, A B C, ..., so that a noisy minute hits all alike.

Ratios are taken within a round, against the first variant of that round; their median is reported. One
round is run before, to warm caches, and thrown away.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# Runs, servers and clusters come from the tests: whoever imports this module first can import `support`.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

RESULTS = Path(__file__).parent / "results"
Variants = Mapping[str, Callable[[], float]]  # name: do it once, and say how many seconds it took


def environ(**more: str) -> dict[str, str]:
    """As a user's shell. Without bytecode every start would compile us anew."""
    return {**os.environ, "NO_COLOR": "1", **more} | {"PYTHONDONTWRITEBYTECODE": ""}


def run(command: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """What a command wrote, both streams. Output goes to a file: no child that lingers can hold us."""
    with tempfile.TemporaryFile("w+") as out:
        code = subprocess.call(
            command, env=env or environ(), cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        out.seek(0)
        text = out.read()
    if code:
        raise RuntimeError(f"{' '.join(command)}: exit {code}\n{text[-2000:]}")
    return text


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def command(words: Sequence[str], env: Mapping[str, str] | None = None) -> Callable[[], float]:
    return lambda: timed(lambda: run(words, env))


def measure(variants: Variants, rounds: int) -> dict[str, list[float]]:
    """Seconds by variant, one per round."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds + 1):
        for name, once in variants.items():
            took = once()
            if number:
                seconds[name].append(took)
    return seconds


def ratios(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """By variant: the median of its ratios to the round's first."""
    first = next(iter(seconds.values()))
    return {
        name: statistics.median(one / base for one, base in zip(took, first, strict=True))
        for name, took in seconds.items()
    }


def table(title: str, seconds: Mapping[str, Sequence[float]]) -> str:
    """Markdown, in milliseconds."""
    ratio = ratios(seconds)
    lines = [f"### {title}", "", "| | median ms | min | max | n | ratio |", "|---|--:|--:|--:|--:|--:|"]
    for name, took in seconds.items():
        numbers = [statistics.median(took), min(took), max(took)]
        cells = " | ".join(f"{number * 1000:.0f}" for number in numbers)
        lines.append(f"| {name} | {cells} | {len(took)} | {ratio[name]:.2f} |")
    return "\n".join(lines) + "\n"


def machine() -> dict[str, Any]:
    """What the numbers depend on. `load` is of the minute before: work beside ours shows there."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), "")
    engine = run(["docker", "version", "--format", "{{.Server.Version}} (client {{.Client.Version}})"])
    return {
        "cpu": model or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "engine": engine.strip(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def report(name: str, tables: Mapping[str, Mapping[str, Sequence[float]]], **facts: Any) -> None:
    """Print the tables and write `results/NAME.json`: seconds as measured, ratios, machine, facts."""
    for title, seconds in tables.items():
        print(table(title, seconds))
    for fact, value in facts.items():
        print(f"{fact.replace('_', ' ')}: {value}")
    measured = {
        title: {
            variant: {"seconds": [round(one, 5) for one in took], "ratio": round(ratios(seconds)[variant], 3)}
            for variant, took in seconds.items()
        }
        for title, seconds in tables.items()
    }
    RESULTS.mkdir(exist_ok=True)
    document = {"machine": machine(), "facts": facts, "measured": measured}
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
