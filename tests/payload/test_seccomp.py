"""The filter of system calls: asked of the real kernel, and read as kernels of other machines would."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

from orchestrator.payload import seccomp

PROBE = Path(__file__).parent.parent / "support" / "syscall_probe.py"
QUIET = ("-W", "ignore::DeprecationWarning")  # Python 3.12 and later: it forks beside a thread
ALLOWED, EPERM = 0x7FFF0000, 0x00050001
X86_64, I386, AARCH64, ARM = 0xC000003E, 0x40000003, 0xC00000B7, 0x40000028
UNIX, ALG = 1, 38


def verdict(architecture: int, number: int, first: int = 0) -> int:
    """What the filter returns: the kernel's own interpreter, as far as the filter needs it."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, first, *[0] * 5)
    program = list(struct.iter_unpack("<HBBI", seccomp.program()))
    at = accumulator = 0
    while True:
        code, yes, no, operand = program[at]
        at += 1
        match code:
            case 0x20:  # BPF_LD | BPF_W | BPF_ABS
                (accumulator,) = struct.unpack_from("<I", data, operand)
            case 0x54:  # BPF_ALU | BPF_AND | BPF_K
                accumulator &= operand
            case 0x15:  # BPF_JMP | BPF_JEQ | BPF_K
                at += yes if accumulator == operand else no
            case 0x06:  # BPF_RET | BPF_K
                return operand
            case _:
                raise AssertionError(f"no such instruction in the filter: {code:#x}")


@pytest.mark.parametrize(
    ("architecture", "socket", "pair"),
    [(X86_64, 41, 53), (I386, 359, 360), (AARCH64, 198, 199), (ARM, 281, 288)],
    ids=["x86-64", "i386", "aarch64", "arm"],
)
def test_one_family_of_sockets_is_refused_on_every_machine(architecture: int, socket: int, pair: int) -> None:
    for number in (socket, pair):
        assert verdict(architecture, number, ALG) == EPERM
        assert verdict(architecture, number, ALG | 7 << 32) == EPERM  # the kernel looks at an int
        for family in (0, UNIX, 2, 10, 16, 17, 37, 39, ALG << 8, ALG << 32):
            assert verdict(architecture, number, family) == ALLOWED
    others = set(range(600)) - {socket, pair, 425}
    if architecture == I386:
        others -= {102}
    assert {verdict(architecture, number, ALG) for number in others} == {ALLOWED}
    assert verdict(architecture, 425) == EPERM


def test_other_ways_to_the_same_call_are_shut() -> None:
    x32 = 1 << 30
    assert verdict(X86_64, 41 | x32, ALG) == verdict(X86_64, 53 | x32, ALG) == EPERM
    assert verdict(X86_64, 425 | x32) == EPERM
    assert verdict(X86_64, 41 | x32, UNIX) == ALLOWED
    calls = {call for call in range(21) if verdict(I386, 102, call) == EPERM}
    assert calls == {1, 8}  # SYS_SOCKET, SYS_SOCKETPAIR
    assert verdict(0x80000016, 0) == EPERM  # s390x: a kernel that the filter was not written for


def test_the_job_and_all_that_it_starts_are_refused(image: Any, tmp_path: Path) -> None:
    """The real kernel. Without the filter the same probe is told that no module serves the family, or 0."""
    probe = {"REPRISE_SOURCE": None, "cwd": tmp_path}
    done = image.run(
        "-I", str(image.root / "runtime" / "entry.py"), image.python, *QUIET, str(PROBE), **probe
    )
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert {found[name] for name in ("alg", "alg pair", "ring")} == {1}
    assert {found[f"alg in a {place}"] for place in ("child", "thread", "fork")} == {1}
    assert {found[name] for name in ("inet", "unix", "unix pair")} == {0}
    if "alg of i386" in found:
        assert {found["alg, high bits"], found["alg of x32"]} == {1}
        for name in ("alg of i386", "alg pair of i386", "socketcall", "socketcall pair"):
            assert found[name] in (1, -11), name
        assert 1 not in (found["unix of i386"], found["socketcall bind"])
    assert "entry.json" in done.reports
    assert not [name for name in done.reports if name.startswith("error")]


FILTERED = """
import os, struct, sys
sys.path.insert(0, sys.argv[1])
import seccomp
number = seccomp.SECCOMP[os.uname().machine]
instructions = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, 0x00050001), (6, 0, 0, 0x7FFF0000)]
seccomp.program = lambda: b"".join(struct.pack("<HBBI", *parts) for parts in instructions)
seccomp.deny_alg()
os.execv(sys.executable, [sys.executable, "-I", sys.argv[1] + "/entry.py", *sys.argv[2:]])
"""


def test_a_job_whose_engine_confines_it_is_not_started_without_the_filter(image: Any, tmp_path: Path) -> None:
    """An outer filter that forbids further ones: as a kernel or an engine that is not as it should be."""
    done = image.run("-I", "-c", FILTERED, str(image.root / "runtime"), "echo", "ran", cwd=tmp_path)
    assert (done.code, done.out) == (125, "")
    assert (
        done.err
        == "reprise: AF_ALG sockets cannot be denied to the job: [Errno 1] seccomp: Operation not permitted\n"
    )


def test_where_nothing_confines_jobs_the_run_says_that_the_filter_is_missing(
    image: Any, tmp_path: Path
) -> None:
    """A kernel without seccomp cannot be had here, so a stand-in for the module says what one would."""
    if "Seccomp:\t2\n" in Path("/proc/self/status").read_text():
        pytest.skip("these tests run under a filter themselves")
    runtime = tmp_path / "runtime"
    shutil.copytree(image.root / "runtime", runtime)
    (runtime / "seccomp.py").write_text(
        "def deny_alg():\n    raise OSError(38, 'seccomp: Function not implemented')\n"
    )
    (tmp_path / "work").mkdir()
    done = image.run("-I", "-S", str(runtime / "entry.py"), "echo", "ran", cwd=tmp_path / "work")
    assert (done.code, done.out, done.err) == (0, "ran\n", "")
    report = done.one("error")
    assert report["where"] == "denying AF_ALG sockets"
    assert "Function not implemented" in report["error"]
