"""A process that draws, and starts others in every way that Python has. Each writes one line: label, draws.

`process_family.py LABEL WAY... `: the first way for its children, the rest for theirs; `each`: two by every
way, and one by the next way below the second of these.
"""

import multiprocessing
import os
import random
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor

PYTHON = sys.executable


def program(label, ways):
    return [PYTHON, os.path.abspath(__file__), label, *ways]


def wait(pid):
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def by_context(name):
    def start(label, ways):
        child = multiprocessing.get_context(name).Process(target=live, args=(label, ways))
        child.start()
        child.join()
        assert child.exitcode == 0

    return start


def by_executor(label, ways):
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        executor.submit(live, label, ways).result()


def by_fork(label, ways):
    pid = os.fork()
    if pid == 0:
        live(label, ways)
        os._exit(0)
    wait(pid)


def by_fork_and_exec(label, ways):
    pid = os.fork()
    if pid == 0:
        os.execv(PYTHON, program(label, ways))
    wait(pid)


def by_fork_and_exec_with_environment(label, ways):
    environment = dict(os.environ)
    pid = os.fork()
    if pid == 0:
        os.execve(PYTHON, program(label, ways), environment)
    wait(pid)


WAYS = {
    "spawn": by_context("spawn"),
    "forkserver": by_context("forkserver"),
    "fork": by_context("fork"),
    "executor": by_executor,
    "os.fork": by_fork,
    "os.execv": by_fork_and_exec,
    "os.execve": by_fork_and_exec_with_environment,
    "run": lambda label, ways: subprocess.run(program(label, ways), check=True),
    "run env": lambda label, ways: subprocess.run(program(label, ways), check=True, env=dict(os.environ)),
    "run preexec": lambda label, ways: subprocess.run(
        program(label, ways), check=True, preexec_fn=lambda: None
    ),
    "run posix_spawn": lambda label, ways: subprocess.run(program(label, ways), check=True, close_fds=False),
    "shell": lambda label, ways: subprocess.run(
        " ".join(f"'{word}'" for word in program(label, ways)) + "; true", shell=True, check=True
    ),
    "os.system": lambda label, ways: os.system(" ".join(f"'{word}'" for word in program(label, ways))),
    "os.spawnv": lambda label, ways: os.spawnv(os.P_WAIT, PYTHON, program(label, ways)),
    "os.posix_spawn": lambda label, ways: wait(os.posix_spawn(PYTHON, program(label, ways), os.environ)),
}


def live(label, ways):
    drawn = [random.random()]
    if "numpy" in os.environ["DRAW"]:
        import numpy

        drawn.append(numpy.random.rand())
    if "torch" in os.environ["DRAW"]:
        import torch

        drawn.append(torch.rand(1).item())
    with open(os.environ["DRAWN"], "a") as stream:
        stream.write(f"{label}\t{drawn}\n")
    if ways and ways[0] == "each":
        names = list(WAYS)
        for way, below in zip(names, names[1:] + names[:1], strict=True):
            WAYS[way](f"{label}/{way} 1", [])
            WAYS[way](f"{label}/{way} 2", ["once", below])
    elif ways[:1] == ["once"]:
        WAYS[ways[1]](f"{label}/{ways[1]} 1", [])
    elif ways:
        for number in (1, 2):
            WAYS[ways[0]](f"{label}/{ways[0]} {number}", ways[1:])


if __name__ == "__main__":
    for _ in range(int(os.environ.get("NOISE", "0"))):  # other pids, and other programs in between
        subprocess.run(["true"], check=True)
        threading.Thread(target=lambda: None).start()
    live(sys.argv[1], sys.argv[2:])
