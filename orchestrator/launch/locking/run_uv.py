"""Runs uv: a clean environment, bounds on time, memory, files and output; nothing is ever built."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import InfrastructureError
from orchestrator.image.image_model import PythonFacts
from orchestrator.launch.interrupt import Interrupt
from orchestrator.scratch import end_with_parent

TIME = 600.0  # seconds for one resolution; large ones take ten on an empty cache
OUTPUT = 1 << 20  # bytes of uv's messages that are read

_MEMORY = 16 << 30  # bytes of address space
_FILE = 1 << 30  # bytes of one file: an index may send metadata without end
# The glibc versions that uv has a name for.
_GLIBC = (17, 28, *range(31, 41))


def uv_program() -> str:
    """The path of uv: the package's own, else one on PATH. InfrastructureError where there is none."""
    with contextlib.suppress(ImportError, FileNotFoundError):
        from uv import find_uv_bin

        return find_uv_bin()
    found = shutil.which("uv")
    if found is None:
        raise InfrastructureError(
            "uv, which resolves packages, is not installed", f"run: {sys.executable} -m pip install uv"
        )
    return found


def uv_platform(python: PythonFacts) -> str:
    """The newest platform in uv's words whose wheels the base takes."""
    newest = int(python.glibc.split(".")[1])
    minor = max((known for known in _GLIBC if known <= newest), default=_GLIBC[0])
    return f"{python.machine}-manylinux_2_{minor}"


class Said(NamedTuple):
    succeeded: bool
    text: str  # its messages, warnings among them


def run_uv(arguments: Sequence[str], room: Path, environment: Mapping[str, str]) -> Said:
    """Run uv in the folder `room`.

    InfrastructureError: it is not there, or takes too long.
    """
    with (room / "uv.log").open("w+b") as log:
        process = subprocess.Popen(
            [uv_program(), *arguments],
            cwd=room,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=dict(environment),
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
        try:
            with contextlib.suppress(ProcessLookupError):  # it may have ended already
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (_FILE, _FILE))
                resource.prlimit(process.pid, resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            _wait(process)
        except subprocess.TimeoutExpired:
            raise InfrastructureError(
                f"uv did not find versions that fit in {TIME:,.0f} s",
                "check the network and the package index; fewer open versions (name==1.2) make it quicker",
            ) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with all that it started
            process.wait()
        log.seek(max(0, log.seek(0, os.SEEK_END) - OUTPUT))
        text = log.read(OUTPUT).decode("utf-8", "replace")
        return Said(process.returncode == 0, text or f"uv ended with {process.returncode} and said nothing")


def _wait(process: subprocess.Popen[bytes]) -> None:
    """KeyboardInterrupt after SIGINT or SIGTERM: uv has a session of its own, and does not hear them."""
    until = time.monotonic() + TIME
    with Interrupt() as interrupt:
        while process.poll() is None:
            if interrupt.asked:
                raise KeyboardInterrupt
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("uv", TIME)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.1)
