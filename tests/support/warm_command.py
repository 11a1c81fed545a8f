"""`reprise WORDS…` as a process that need not import: importing costs 0.65 s of CPU, a fork 0.07 s.

A process that has imported everything waits. Asked, it forks a child with the environment, the folder and
the files that were asked for, and Linux makes it a child of the *asking* process. So pids, signals and exit
codes are those of `python -m orchestrator.cli`. Tests in tests/cli and tests of terminals start that itself.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import inspect
import json
import os
import pkgutil
import platform
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from orchestrator.record.record import open_record
from orchestrator.record.run_record import HistoryFilter
from orchestrator.settings import load
from support import syscall_faults
from support.fresh_record import plant
from support.records import finish_run, full_result, new_run
from support.shared_statements import share_statements

CLONE_PARENT = 0x00008000
CLONE = {"x86_64": 56, "aarch64": 220}[platform.machine()]
TESTS = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "orchestrator.cli"]
# Executed as programs, and by Alembic.
OTHERS = (
    "orchestrator.cli.__main__",
    "orchestrator.payload.",
    "orchestrator.image.base.python_facts",
    "orchestrator.record.schema.migrations.",
)
PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_")  # what an interpreter reads before it runs anything


_ONE_AT_A_TIME = threading.Lock()


class WarmCommand(subprocess.Popen[str]):
    """As Popen, for COMMAND and its words, with a whole `env`."""

    def _execute_child(self, args: Any, *rest: Any) -> None:
        names = inspect.signature(subprocess.Popen._execute_child).parameters
        given = dict(zip([*names][2:], rest, strict=True))
        env, pipes = given["env"], [given[name] for name in PIPES]
        if any(_early(env, name) for name in {*env, *os.environ}):
            super()._execute_child(args, *rest)
            return
        asked = {"words": args[len(COMMAND) :], "env": env, "cwd": str(given["cwd"] or Path.cwd())}
        data = json.dumps(asked).encode()
        children = (given["p2cread"], given["c2pwrite"], given["errwrite"])
        files = [number if own == -1 else own for number, own in enumerate(children)]
        with _ONE_AT_A_TIME:
            socket.send_fds(_server(), [len(data).to_bytes(4, "little")], files)
            _server().sendall(data)
            answer = _server().recv(4)
        assert answer, "the process that forks commands has ended"
        self.pid = int.from_bytes(answer, "little")
        self._child_created = True
        self._close_pipe_fds(*pipes)


def _early(env: dict[str, str], name: str) -> bool:
    return name.startswith(READ_AT_START) and env.get(name) != os.environ.get(name)


@cache
def _server() -> socket.socket:
    here, there = socket.socketpair()
    command = [sys.executable, "-m", __name__, str(there.fileno())]
    process = subprocess.Popen(command, pass_fds=[there.fileno()], stdin=subprocess.DEVNULL, cwd=TESTS)
    there.close()
    atexit.register(lambda: (here.close(), process.wait()))
    return here


def _serve(asking: socket.socket) -> list[str]:
    """In the child: its words. The server itself ends when nobody can ask any more."""
    import orchestrator

    for module in pkgutil.walk_packages(orchestrator.__path__, "orchestrator."):
        if not module.name.startswith(OTHERS):
            importlib.import_module(module.name)
    _practise()
    gc.collect()
    gc.freeze()  # or a child's first collection copies what it shares
    while True:
        head, files, _, _ = socket.recv_fds(asking, 4, 3)
        if not head:
            os._exit(0)
        data = b""
        while len(data) < int.from_bytes(head, "little"):
            data += asking.recv(1 << 16)
        child = _fork_a_sibling()
        if child == 0:
            asking.close()
            return _become(json.loads(data), files)
        for file in files:
            os.close(file)
        asking.send(child.to_bytes(4, "little"))


def _practise() -> None:
    """What a process makes at its first use is made: models, and the statements of an SQLite record."""
    share_statements()
    models = BaseModel.__subclasses__()
    for model in models:
        models += model.__subclasses__()
        model.model_rebuild()
    with tempfile.TemporaryDirectory() as folder:
        settings = load({"REPRISE_HOME": folder})
        plant(settings.home / "reprise.db")
        with open_record(settings) as record:
            run = finish_run(record, new_run(params={"lr": 0.1}), **dict(full_result()))
            record.history.page(HistoryFilter())
            record.run(run)


def _fork_a_sibling() -> int:
    assert len(os.listdir("/proc/self/task")) == 1, "a module started a thread: no fork is safe"
    python = ctypes.pythonapi  # keeps Python's own lock: nothing else runs meanwhile
    python.PyOS_BeforeFork()
    pid = ctypes.PyDLL(None).syscall(CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    (python.PyOS_AfterFork_Parent if pid else python.PyOS_AfterFork_Child)()
    return int(pid)


def _become(asked: dict[str, Any], files: list[int]) -> list[str]:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    if (place := os.environ.pop(syscall_faults.VARIABLE, None)) is not None:
        syscall_faults.ask(place)
    return list(asked["words"])


def _end(code: int) -> None:
    """As an interpreter ends, but every object stays: to take them apart costs 0.1 s and 60 MB of copies."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.argv[1:] = _serve(socket.socket(fileno=int(sys.argv[1])))
    sys.path[0] = os.getcwd()
    try:
        runpy.run_module("orchestrator.cli", run_name="__main__", alter_sys=True)
    except SystemExit as done:
        if not isinstance(done.code, int | None):
            raise
        _end(done.code or 0)
