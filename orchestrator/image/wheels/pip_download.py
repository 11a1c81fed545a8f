"""Fetches wheels by pip, which gets checked values only, a small environment, and deadlines.

Its indexes, mirrors and certificates are those that the user configured; a lock may name an index by address.
pip is asked for wheels by name, version and hash, so it never builds anything.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from orchestrator.errors import InfrastructureError, RepriseError, UsageError
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.wheels.lock import Lock, Pin
from orchestrator.image.wheels.wheel_folders import MAX_WHEEL
from orchestrator.image.wheels.wheel_target import abi, platforms
from orchestrator.scratch import end_with_parent

DEADLINE = 6 * 3600.0  # seconds for all wheels of a lock
PATIENCE = 300.0  # seconds in which at least STEP bytes must come
STEP = 1 << 20
SPARE = 1 << 30  # bytes of the disk that are left free

_MEMORY = 8 << 30  # bytes of address space: an index may send a page without end
_OUTPUT = 1 << 20  # bytes of pip's output that are read

# What pip needs to reach the user's index, and nothing else: a lock can choose the server that pip talks to.
_PASSED = {
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "NETRC",
    "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_CACHE_HOME",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_TRUSTED_HOST",
    "PIP_CERT", "PIP_CLIENT_CERT", "PIP_PROXY", "PIP_RETRIES", "PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT",
    "PIP_CONFIG_FILE", "PIP_CACHE_DIR", "PIP_NO_CACHE_DIR", "PIP_KEYRING_PROVIDER", "PIP_USE_FEATURE",
    "PIP_USE_DEPRECATED",
}  # fmt: skip
_LINE = re.compile(
    r"[a-z0-9-]+(===?[a-z0-9.!+]+| @ https?://[!%-:<-~]+)( --hash=sha256:[0-9a-f]{64})+", re.ASCII
)
_OTHER_BYTES = "DO NOT MATCH THE HASHES"
_NETWORK = re.compile(
    r"Retrying \(|NewConnectionError|ConnectTimeout|ReadTimeout|SSLError|ProxyError|HTTP error"
)


def download(
    lock: Lock, pins: tuple[Pin, ...], room: Path, beside: Path, path: Path, python: PythonFacts
) -> list[Path]:
    """The files of these pins, fetched into the folder `room`; `beside` holds more wheels to choose from.

    UsageError: there is no such wheel. InfrastructureError: pip cannot reach, or gets other bytes.
    """
    failure = _run(lock, pins, "==", room, beside, python)
    # A folder of wheels has no hashes: pip took the newest build of a version, 2.13.0+cpu for 2.13.0. Then
    # `===` is tried. It cannot come first: a lock written by hand may say 1.0 for a wheel of 1.0.0.
    if _OTHER_BYTES in failure and not _run(lock, pins, "===", room, beside, python):
        failure = ""
    if failure:
        raise _error(failure, path, python)
    return sorted((room / "fetched").iterdir())


def requirement(pin: Pin, operator: str = "==") -> str:
    """The line of a pin in pip's requirements. `==` takes 2.13.0+cpu for 2.13.0, too; `===` does not.

    A Pin has checked its parts; the line is checked as well.
    """
    start = f"{pin.name} @ {pin.address}" if pin.address else f"{pin.name}{operator}{pin.version}"
    line = " ".join([start, *(f"--hash=sha256:{digest}" for digest in pin.sha256)])
    if _LINE.fullmatch(line) is None:
        raise UsageError(f"the lock's pin of {pin.name} is malformed")
    return line


def command(lock: Lock, beside: Path, room: Path, python: PythonFacts) -> list[str]:
    """pip's arguments. Each value stands in one word with its option."""
    words = [sys.executable, "-P", "-m", "pip", "download", "--disable-pip-version-check", "--no-input"]
    words += ["--progress-bar=off", "--require-hashes", "--no-deps", "--only-binary=:all:"]
    words += ["--implementation=cp", f"--python-version={python.version}", f"--abi={abi(python)}"]
    words += [f"--platform={name}" for name in platforms(python)]
    words += [f"--dest={room / 'fetched'}", f"--requirement={room / 'requirements.txt'}"]
    words += [f"--find-links={beside}", *(f"--find-links={page}" for page in lock.pages)]
    words += ["--no-index"] if lock.no_index else []
    words += [f"--index-url={lock.index}"] if lock.index is not None else []
    return [*words, *(f"--extra-index-url={address}" for address in lock.more_indexes)]


def pip_environment(host: Mapping[str, str], room: Path) -> dict[str, str]:
    """The environment of pip. Its temporary files may be gigabytes, and /tmp may be memory."""
    passed = {name: value for name, value in host.items() if name.upper() in _PASSED}
    return {**passed, "TMPDIR": str(room), "PYTHONUTF8": "1"}


def _run(
    lock: Lock, pins: tuple[Pin, ...], operator: str, room: Path, beside: Path, python: PythonFacts
) -> str:
    """Run pip once for all files. Its output if it failed, else an empty text."""
    lines = [requirement(pin, operator) for pin in pins]
    (room / "requirements.txt").write_text("\n".join(lines) + "\n", "utf-8")
    with (room / "pip.log").open("w+b") as log:
        process = subprocess.Popen(
            command(lock, beside, room, python),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=pip_environment(os.environ, room),
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
        try:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (MAX_WHEEL, MAX_WHEEL))
            resource.prlimit(process.pid, resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            _watch(process, room)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with all that it started
            process.wait()
        if process.returncode == 0:
            return ""
        log.seek(max(0, log.tell() - _OUTPUT))
        return log.read(_OUTPUT).decode("utf-8", "replace") or "pip said nothing"


def _watch(process: subprocess.Popen[bytes], room: Path) -> None:
    """Wait for pip. InfrastructureError where it takes too long, stands still, or fills the disk."""
    began = marked = time.monotonic()
    had = 0
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)
            return
        now, has = time.monotonic(), _size(room)
        if has >= had + STEP:
            had, marked = has, now
        if now - began > DEADLINE or now - marked > PATIENCE:
            raise InfrastructureError(
                f"pip fetches wheels for {now - began:,.0f} s, and the last {now - marked:,.0f} s brought "
                "less than 1 MiB",
                "check the network and pip's index, and submit again: wheels that came are not kept",
            )
        if shutil.disk_usage(room).free < SPARE:
            raise InfrastructureError(
                f"pip fetches more wheels than fit on the disk: {has:,} bytes have come",
                f"free space at {room}",
            )


def _size(folder: Path) -> int:
    """Bytes of all files below; files that vanish meanwhile do not count."""
    total = 0
    for here, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(f"{here}/{name}").st_size
    return total


def _error(output: str, lock: Path, python: PythonFacts) -> RepriseError:
    """An error with the one line of pip's output that helps; an index wrote part of it, so it is cleaned."""
    if "No module named pip" in output:
        return InfrastructureError(
            f"{sys.executable} has no pip to fetch wheels with", f"run: {sys.executable} -m ensurepip"
        )
    plain = (
        "".join(letter if letter.isprintable() else " " for letter in line) for line in output.splitlines()
    )
    lines = [line.strip()[:1000] for line in plain if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    if any(_OTHER_BYTES in line for line in errors):
        what = next((line for line in lines if " from " in line and line.endswith(":")), "a wheel")
        got = next((line.split()[-1] for line in lines if line.startswith("Got ")), "unknown")
        return InfrastructureError(
            f"{lock}: {what.split(' from ')[0]} was delivered with other bytes, sha256 {got}",
            "the index or a mirror does not have the file that was locked; do not use it before you know why",
        )
    network = next((line for line in reversed(lines) if _NETWORK.search(line)), None)
    if network is not None:
        return InfrastructureError(
            f"pip cannot reach its index: {network}", "check the network, pip's index-url"
        )
    message = next((line for line in errors if line.startswith("Could not find a version")), None)
    message = message or (errors[-1] if errors else lines[-1] if lines else "pip said nothing")
    return UsageError(
        f"{lock}: {message}",
        f"only wheels are used: for CPython {python.version}, glibc {python.glibc}, {python.machine}, "
        "with a hash that the lock names",
    )
