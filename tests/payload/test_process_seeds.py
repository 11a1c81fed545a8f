"""Seeds of processes that start one another: each its own, and the same in every run."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest

FAMILY = Path(__file__).parent / "process_family.py"


def drawn(image: Any, tmp_path: Path, *ways: str, draw: str = "numpy", **env: Any) -> dict[str, list[float]]:
    """What each process drew, by its label."""
    path = tmp_path / "drawn"
    path.unlink(missing_ok=True)
    done = image.run(str(FAMILY), "root", *ways, DRAWN=str(path), DRAW=draw, timeout=900, **env)
    assert (done.code, done.err) == (0, "")
    assert not done.all("error")
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    found = {label: ast.literal_eval(numbers) for label, numbers in lines}
    assert len(found) == len(lines)
    return found


def forked(label: str) -> bool:
    """Such a child goes on with numpy's and torch's numbers where its parent was, as in any Python."""
    return label.rpartition("/")[2].rpartition(" ")[0] in ("fork", "os.fork")


def distinct(found: dict[str, list[float]]) -> bool:
    """No two processes drew the same number from any generator."""
    return all(len(set(column)) == len(found) for column in zip(*found.values(), strict=True))


@pytest.mark.slow
@pytest.mark.torch
def test_each_process_draws_its_own_however_it_was_started(image: Any, tmp_path: Path) -> None:
    """Nor does anything depend on pids, on threads, or on other programs that were started in between."""
    first = drawn(image, tmp_path, "each")
    assert len(first) == 1 + 15 * 3
    assert first["root"][0] == 0.32383276483316237  # random.seed(7)
    assert distinct({label: numbers[:1] for label, numbers in first.items()})
    assert distinct({label: numbers for label, numbers in first.items() if not forked(label)})
    again = drawn(image, tmp_path, "each", draw="random alone", NOISE="3")
    assert again == {label: numbers[:1] for label, numbers in first.items()}
    other = drawn(image, tmp_path, "spawn", "fork", "run", seed=8)
    assert not {number for each in first.values() for number in each} & {
        number for each in other.values() for number in each
    }


# Each process that imports torch takes seconds: these few are looked at for all they tell.
TORCH = """
import json, multiprocessing, os, random, subprocess, sys
import numpy, torch

def draw():
    return random.random(), numpy.random.rand(), torch.rand(1).item()

own = draw()  # also in a worker that is not forked: it imports the script before the loader seeds it

class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return torch.tensor([index, *draw(), *own], dtype=torch.float64)

if sys.argv[1:]:
    print(json.dumps(own))
elif __name__ == "__main__":
    rows, state = {}, torch.get_rng_state()
    for way in ("fork", "spawn", "forkserver"):
        torch.set_rng_state(state)  # of which the loader draws the seed of its workers
        context = multiprocessing.get_context(way)
        loader = torch.utils.data.DataLoader(
            Numbers(), num_workers=2, shuffle=True, multiprocessing_context=context
        )
        rows[way] = [row for batch in loader for row in batch.tolist()]
    print(json.dumps([own, rows]), flush=True)
    subprocess.run([sys.executable, __file__, "child"], check=True, env=dict(os.environ))
"""


@pytest.mark.acceptance
@pytest.mark.torch
def test_torch_and_the_workers_of_loaders_too(image: Any, tmp_path: Path) -> None:
    """Forked, spawned or of a forkserver, the workers give the same batches, and all is the same again."""
    (tmp_path / "main.py").write_text(TORCH)
    done = image.run("main.py", cwd=tmp_path, timeout=240)
    assert (done.code, done.err) == (0, "")
    (root, rows), child = map(json.loads, done.out.splitlines())
    batches = {way: [row[:4] for row in found] for way, found in rows.items()}
    assert batches["fork"] == batches["spawn"] == batches["forkserver"]
    assert all(len(set(column)) == 4 for column in zip(*batches["fork"], strict=True))
    assert all(row[4:] == root for row in rows["fork"])
    owns = {tuple(row[4:]) for way in ("spawn", "forkserver") for row in rows[way]} | {
        tuple(root),
        tuple(child),
    }
    assert len(owns) == 6
    assert all(len(set(column)) == 6 for column in zip(*owns, strict=True))
    # Workers that are forked after torch was imported are the same program; a forkserver's leave by os._exit.
    assert (len(done.all("start")), len(done.all("end"))) == (6, 4)
    for report in done.all("end"):
        assert report["flags"]["torch.deterministic_algorithms"] is True
    assert not list(tmp_path.rglob("*.pyc"))
    assert image.run("main.py", cwd=tmp_path, timeout=240).out == done.out


def test_a_script_that_seeds_itself_is_left_alone_in_what_it_starts(image: Any, tmp_path: Path) -> None:
    """multiprocessing imports the script in each new process, and the script seeds again there."""
    script = tmp_path / "main.py"
    script.write_text(
        "import multiprocessing, random\nrandom.seed(99)\n"
        "def draw(): print(random.random(), flush=True)\n"
        "if __name__ == '__main__':\n"
        "    for way in ('spawn', 'spawn', 'forkserver'):\n"
        "        child = multiprocessing.get_context(way).Process(target=draw)\n"
        "        child.start()\n        child.join()\n"
    )
    done = image.run(str(script))
    assert (done.code, done.err) == (0, "")
    spawned, again, by_server = done.out.split()
    assert spawned == again == "0.40397807494366633"  # random.seed(99)
    # From Python 3.14 on a forkserver imports the script, and its children are seeded as any forked ones are.
    assert sys.version_info >= (3, 14) or by_server == spawned
    assert image.run(str(script)).out == done.out


def test_the_rank_that_a_launcher_gives_is_a_place_among_siblings(image: Any) -> None:
    code = "import random; print(random.random())"
    drawn = [image.run("-c", code, RANK=rank).out for rank in (None, "0", "1", "2", "1")]
    assert drawn[0] == drawn[1] == "0.32383276483316237\n"
    assert drawn[2] == drawn[4]
    assert len(set(drawn)) == 3
    assert image.run("-c", code, RANK="-1\u00b2").out == drawn[0]


def test_a_child_that_is_given_another_environment_is_given_that_one(image: Any) -> None:
    code = (
        "import os, subprocess, sys\n"
        "print('REPRISE_LINEAGE' in os.environ)\n"
        "given = {'ONLY': 'this'}\n"
        "subprocess.run(['/usr/bin/env'], env=given, check=True)\n"
        "pid = os.posix_spawn('/usr/bin/env', ['env'], given)\n"
        "os.waitpid(pid, 0)\n"
        "print(given)\n"
    )
    done = image.run("-u", "-c", code)
    assert done.out == "False\nONLY=this\nONLY=this\n{'ONLY': 'this'}\n"


AWAY = {
    "subprocess.run([PYTHON, '-c', ''], env=OWN)": True,
    "subprocess.run(['python', '-c', ''], env=OWN)": True,
    "os.waitpid(os.posix_spawn(PYTHON, [PYTHON, '-c', ''], OWN), 0)": True,
    "os.execve(PYTHON, [PYTHON, '-c', ''], OWN)": True,
    **{
        f"os.environ.clear(); os.waitpid(os.posix_spawn(PYTHON, [PYTHON, '-c', ''], {env}), 0)": True
        for env in ("os.environ", "os.environb", "MappingProxyType({b'A': 'b'})")
    },
    "os.environ.clear(); os.execve(PYTHON, [PYTHON, '-c', ''], os.environb)": True,
    "os.execvpe('python', ['python', '-c', ''], OWN)": True,
    "os.environ.clear(); subprocess.run([PYTHON, '-c', ''])": True,
    "os.environ.clear(); os.execv(PYTHON, [PYTHON, '-c', ''])": True,
    "[subprocess.run([PYTHON, '-c', ''], env=OWN) for _ in range(3)]": True,
    "subprocess.run(['/usr/bin/env'], env=OWN)": False,
    "subprocess.run([PYTHON, '-c', ''])": False,
    "subprocess.run([PYTHON, '-c', ''], env=dict(os.environ))": False,
    "os.execve(PYTHON, [PYTHON, '-c', ''], dict(os.environ))": False,
    "os.execve(PYTHON, [PYTHON, '-c', ''], os.environb)": False,
    "os.waitpid(os.posix_spawn(PYTHON, [PYTHON, '-c', ''], os.environb), 0)": False,
}


@pytest.mark.parametrize("way", AWAY)
def test_a_python_that_nobody_watches_is_told(image: Any, way: str) -> None:
    """It has another environment, without our variables: it may train, and leaves no word of it."""
    code = f"""
import os, subprocess, sys
from types import MappingProxyType
PYTHON, OWN = sys.executable, {{'PATH': os.environ['PATH']}}
{way}
"""
    done = image.run("-c", code, REPRISE_MAIN=None)
    assert (done.code, done.err) == (0, "")
    assert any(report["flags"].get("python.unwatched") for report in done.all("now")) is AWAY[way]


@pytest.mark.parametrize("text", ["", "zz", "-1", "0x", "f" * 5000, "1_0"])
def test_a_place_that_is_no_place(image: Any, text: str) -> None:
    """The job can write the variable: whatever stands there, the job runs and draws the same each time."""
    code = "import random; print(random.random())"
    first = image.run("-c", code, REPRISE_LINEAGE=text)
    assert (first.code, first.err) == (0, "")
    assert first.out == image.run("-c", code, REPRISE_LINEAGE=text).out
    assert not first.all("error")


def test_what_starts_programs_is_pickled_as_without_us(image: Any) -> None:
    """A wrapper that is not found under its own name cannot be sent to another process, or saved."""
    code = (
        "import multiprocessing.spawn as spawn, os, pickle, sys\n"
        "found = [os.system, os.execv, os.execve, os.posix_spawn, os.posix_spawnp, spawn.prepare]\n"
        "print(type(os.system).__name__, pickle.dumps(found).hex())\n"
        "assert pickle.loads(pickle.dumps(found)) == found\n"
    )
    ours, plain = image.run("-c", code), image.run("-S", "-c", code)
    assert (ours.code, plain.code) == (0, 0), ours.err + plain.err
    kind, pickled = ours.out.split()
    assert plain.out.split() == ["builtin_function_or_method", pickled]
    assert kind == "function"
