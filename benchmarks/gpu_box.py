"""The first ten minutes on a box with an NVIDIA GPU: `make gpu`. One table comes last.

Each row is a process of its own with a deadline; one that hangs is killed, with its containers, and the table
says so. Probes run with a Python here whose torch sees the GPU (`--python`, else the PATH's), else in a
container of the cuda base. The other rows are the tests of tests/integration/test_gpu.py.

Exit code: 0 where every row passed, 1 where one failed or hung, 4 where none failed and one could not run.
`--rehearse` runs every row on the CPU, small: it shows that the rows work, and nothing about a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

REPO = Path(__file__).resolve().parent.parent
TESTS = "tests/integration/test_gpu.py"
PROBES = str(REPO / "benchmarks" / "gpu_probes.py")
LIMIT = 585.0  # seconds for all rows: ten minutes with the start and the table
BUSY = 4  # times as long are the deadlines of a rehearsal, whose machine does other work beside
NOT_RUN, PASSED, FAILED = "not run", "passed", "FAILED"
NO_DRIVER = "no NVIDIA driver"


@dataclass(frozen=True)
class Row:
    name: str
    seconds: float
    kind: str  # fact: a part of this file; probe: of gpu_probes.py; test: one of TESTS
    what: str


SEES = "test_a_container_sees_the_gpu_that_it_was_given_and_no_other"
TWICE = "test_the_example_job_twice_on_a_gpu_is_identical"
FLAGS = "test_index_add_is_caught_without_the_flags_and_held_with_them"
AS_A_JOB = "test_what_a_job_with_a_gpu_measures_holds"
ROWS = (
    Row("driver", 10, "fact", "driver"),
    Row("engine", 15, "fact", "engine"),
    Row("a Python with CUDA", 40, "probe", "torch"),
    Row("digests, CPU and GPU", 60, "probe", "digests"),
    Row("trace cost, GPT-2 124M, bf16", 110, "probe", "step"),
    Row("index_add_ in one process", 40, "probe", "index_add"),
    Row("request by nvidia runtime", 50, "test", f"{SEES}[nvidia]"),
    Row("request by CDI", 50, "test", f"{SEES}[cdi]"),
    Row("digits twice, in a container", 110, "test", TWICE),
    Row("index_add_ in a container", 100, "test", FLAGS),
)


@dataclass(frozen=True)
class Answer:
    state: str
    says: str
    seconds: float = 0.0
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Box:
    """What was found out before the rows, and where they may write."""

    folder: Path
    rehearsal: bool
    python: str | None  # whose torch sees the GPU

    @property
    def environ(self) -> dict[str, str]:
        rehearsal = {"REPRISE_GPU_REHEARSAL": "1", "OMP_NUM_THREADS": "1"} if self.rehearsal else {}
        return {**os.environ, "NO_COLOR": "1", **rehearsal}

    @property
    def sizes(self) -> list[str]:
        return ["--device", "cpu", "--small"] if self.rehearsal else ["--device", "cuda"]


def run_row(row: Row, box: Box, seconds: float) -> Answer:
    """The row's answer; never an exception, and never much later than `seconds`."""
    begun = time.monotonic()
    report = box.folder / f"{row.what.replace('[', '-').strip(']')}.xml"
    if row.kind == "probe" and (box.python or row.what == "torch"):
        if box.python is None:
            return Answer(PASSED, "none on this box (--python names one): the probes run as jobs on the base")
        command = [box.python, PROBES, row.what, *box.sizes]
    elif row.kind == "fact":
        command = [sys.executable, __file__, "--fact", row.what]
    else:
        command = pytest_command(row, box, report)
    out, code = finished(command, box.environ, seconds)
    took = time.monotonic() - begun
    if code is None:
        swept = sweep(box)
        return Answer(FAILED, f"killed after {took:.0f} s, its deadline{swept}: {last_line(out)}", took)
    found = answer_of_test(report) if report.exists() else answer_of_output(out, code)
    return Answer(found.state, found.says, took, found.numbers)


def pytest_command(row: Row, box: Box, report: Path) -> list[str]:
    test = row.what if row.kind == "test" else f"{AS_A_JOB}[{row.what}]"
    words = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", f"{TESTS}::{test}"]
    return [*words, f"--junitxml={report}", f"--basetemp={box.folder / report.stem}"]


def finished(command: Sequence[str], environ: Mapping[str, str], seconds: float) -> tuple[str, int | None]:
    """What the command wrote, and its exit code; None where it was killed at its deadline.

    A process within the driver may survive a kill. It is not waited for: it is left, and the rest goes on.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as out:
        process = subprocess.Popen(
            command, cwd=REPO, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
        code: int | None = None
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(max(seconds, 1))
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        out.seek(0)
        return out.read(), code


def sweep(box: Box) -> str:
    """Remove the containers of the homes that killed rows left."""
    command = [sys.executable, __file__, "--fact", "sweep", "--folder", str(box.folder)]
    out, code = finished(command, box.environ, 15)
    return "" if code == 0 else f" (its containers may be left: {last_line(out)})"


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it wrote nothing"


def answer_of_output(out: str, code: int) -> Answer:
    """The JSON line at the end of what a probe or a fact wrote."""
    with suppress(ValueError, KeyError, TypeError):
        found = json.loads(out.splitlines()[-1] if out.strip() else "")
        state = PASSED if found["state"] == "passed" else FAILED
        return Answer(state, str(found["says"]), numbers=found.get("numbers") or {})
    return Answer(FAILED, f"exit code {code}: {last_line(out)}")


def answer_of_test(report: Path) -> Answer:
    """One test's end, from pytest's report of our own making."""
    case = ElementTree.parse(report).find(".//testcase")
    if case is None:
        return Answer(FAILED, "pytest ran no test")
    says = "".join(f"{one.get('value')}" for one in case.iter("property") if one.get("name") == "says")
    for kind in ("failure", "error", "skipped"):
        end = case.find(kind)
        if end is not None:
            why = " ".join((end.get("message") or "").split())
            state = NOT_RUN if kind == "skipped" else FAILED
            return Answer(state, "; ".join(filter(None, (why.removeprefix("not run: "), says)))[:600])
    return Answer(PASSED, says)


# Facts: each printed by a process of its own, because a driver or an engine may hang


def driver() -> dict[str, Any]:
    from orchestrator.run.hardware import gpus

    found = gpus()
    names = ", ".join(
        f"{gpu.name}, compute {gpu.compute}, {gpu.sms} SMs, {gpu.memory >> 30} GiB, driver {gpu.driver}"
        for gpu in found
    )
    numbers = {"gpus": [gpu.model_dump(exclude={"uuid"}) for gpu in found]}
    passed = bool(found) or bool(os.environ.get("REPRISE_GPU_REHEARSAL"))
    return answered(passed, names or "NVML finds no GPU", numbers)


def engine() -> dict[str, Any]:
    from orchestrator.run.engine.engine import Engine

    info = Engine.connect().info()
    ways = [way for way, has in (("nvidia runtime", "nvidia" in info.runtimes), ("CDI", info.cdi)) if has]
    by = " and ".join(ways) or "nothing"
    says = f"{info.version}, {info.storage}, cgroup {info.cgroup}, hands GPUs on by {by}"
    passed = bool(ways) or bool(os.environ.get("REPRISE_GPU_REHEARSAL"))
    return answered(passed, says, info.model_dump(exclude={"id"}))


def answered(passed: bool, says: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {"state": "passed" if passed else "failed", "says": says, "numbers": dict(numbers)}


def swept(folder: Path) -> dict[str, Any]:
    from orchestrator.run.engine.engine import Engine
    from orchestrator.run.hardware import home_id
    from orchestrator.settings import load

    removed = 0
    engine = Engine.connect()
    for key in folder.rglob("identity.key"):
        for container in engine.containers_of(home_id(load({"REPRISE_HOME": str(key.parent)}))):
            engine.remove(container.name)
            removed += 1
    return answered(True, f"{removed} containers removed", {})


def python_with_cuda(asked: str | None, box: Box, seconds: float) -> str | None:
    """The first Python whose torch sees the GPU, each asked in a process of its own."""
    names = [asked] if asked else [sys.executable, "python3", "python"]
    end = time.monotonic() + seconds
    tried: set[str] = set()
    for name in names:
        path = shutil.which(name or "")
        if path is None or path in tried:
            continue
        tried.add(path)
        out, code = finished([path, PROBES, "torch", *box.sizes], box.environ, end - time.monotonic())
        if code == 0 and answer_of_output(out, code).state == PASSED:
            return path
    return None


# The table


def table(answers: Mapping[Row, Answer], title: str) -> Iterator[str]:
    width = max(len(row.name) for row in ROWS)
    yield title
    yield f"{'':8} {'row'.ljust(width)}      s  what was seen"
    for row, answer in answers.items():
        lines = textwrap.wrap(answer.says, 100) or [""]
        yield f"{answer.state:8} {row.name.ljust(width)} {answer.seconds:6.1f}  {lines[0]}"
        yield from (" " * (width + 18) + line for line in lines[1:])


def exit_code(answers: Mapping[Row, Answer]) -> int:
    states = {answer.state for answer in answers.values()}
    return 1 if FAILED in states else 4 if NOT_RUN in states else 0


def check(box: Box, asked: str | None, rows: Sequence[Row], limit: float) -> dict[Row, Answer]:
    end = time.monotonic() + limit
    answers: dict[Row, Answer] = {}
    for row in rows:
        print(f"{row.name} ...", file=sys.stderr, flush=True)
        left = end - time.monotonic()
        if row.what == "torch":
            begun = time.monotonic()
            python = python_with_cuda(asked, box, min(row.seconds, left) / 2)
            box = Box(box.folder, box.rehearsal, python)
            left -= time.monotonic() - begun
        if left < 1:
            answers[row] = Answer(NOT_RUN, f"the {limit:.0f} s for all rows were over")
            continue
        answers[row] = run_row(row, box, min(row.seconds, left))
    return answers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", help="a Python whose torch sees the GPU")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, small")
    parser.add_argument("--json", type=Path, help="a file for all numbers")
    parser.add_argument("--fact", choices=["driver", "engine", "sweep"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.fact:
        facts = {"driver": driver, "engine": engine, "sweep": lambda: swept(asked.folder)}
        print(json.dumps(facts[asked.fact]()))
        return 0
    from orchestrator.run.hardware import DRIVER

    title = "A REHEARSAL on the CPU: it says nothing about a GPU" if asked.rehearse else "On this box's GPU"
    if not asked.rehearse and not DRIVER.exists():
        answers = {row: Answer(NOT_RUN, NO_DRIVER) for row in ROWS}
    else:
        with tempfile.TemporaryDirectory(prefix="reprise-gpu-", ignore_cleanup_errors=True) as folder:
            times = BUSY if asked.rehearse else 1
            rows = [replace(row, seconds=times * row.seconds) for row in ROWS]
            found = check(Box(Path(folder), asked.rehearse, None), asked.python, rows, times * LIMIT)
            answers = dict(zip(ROWS, found.values(), strict=True))
    print("\n".join(table(answers, title)))
    if asked.json is not None:
        rows = {row.name: vars(answer) for row, answer in answers.items()}
        asked.json.write_text(json.dumps({"title": title, "rows": rows}, indent=1) + "\n")
    return exit_code(answers)


if __name__ == "__main__":
    sys.exit(main())
