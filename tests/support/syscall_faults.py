"""A command that dies, or whose disk fails, at the call of the kernel that a test names.

The command installs a seccomp filter that asks this process about each call that changes a disk or sends
something (`man seccomp_unotify`). So SQLite's writes count, and those of a library in Rust, as Python's do.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import re
import select
import signal
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

VARIABLE = "REPRISE_TEST_ASKS"  # where the command asks; its tests alone know the variable
CALLS = {
    "write": 1,
    "open": 2,
    "pwrite64": 18,
    "writev": 20,
    "sendfile": 40,
    "connect": 42,
    "sendto": 44,
    "fsync": 74,
    "fdatasync": 75,
    "ftruncate": 77,
    "rename": 82,
    "mkdir": 83,
    "rmdir": 84,
    "link": 86,
    "unlink": 87,
    "symlink": 88,
    "chmod": 90,
    "fchmod": 91,
    "openat": 257,
    "mkdirat": 258,
    "unlinkat": 263,
    "renameat": 264,
    "linkat": 265,
    "symlinkat": 266,
    "utimensat": 280,
    "fallocate": 285,
    "syncfs": 306,
    "renameat2": 316,
    "copy_file_range": 326,
}  # of x86-64, which images of ours are for, too
NAMES = {number: name for name, number in CALLS.items()}
BY_FILE = {"write", "pwrite64", "writev", "sendto", "connect", "fsync", "fdatasync", "ftruncate", "fchmod"}
BY_FILE |= {"fallocate", "syncfs", "sendfile", "copy_file_range"}
PATH_AT = {"openat": 1, "mkdirat": 1, "unlinkat": 1, "renameat": 3, "renameat2": 3, "linkat": 3}
PATH_AT |= {"symlinkat": 2, "utimensat": 1, "rename": 1, "link": 1, "symlink": 1}  # of the new name; else 0
SENDS = {"connect", "sendto"}
TAKES_ROOM = CALLS.keys() - SENDS - {"unlink", "unlinkat", "rmdir", "chmod", "fchmod", "utimensat"}

_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV, _SEND
_NOTIFICATION, _ANSWER = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
_GO_ON = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_ALLOW, _ASK = 0x7FFF0000, 0x7FC00000
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06


class Call(NamedTuple):
    name: str
    path: str  # without what is by chance in it

    def __str__(self) -> str:
        return f"{self.name} {self.path}"


Fate = int | None  # None: it goes on; > 0: the call fails with that error; KILL
KILL = -signal.SIGKILL
Decide = Callable[[int, Call], Fate]


class Asked:
    """The calls that a command made, in order."""

    def __init__(self, decide: Decide, folder: Path) -> None:
        self.calls: list[Call] = []
        self.variables = {VARIABLE: str(folder / "asks")}
        self._decide, self._folder = decide, folder
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.variables[VARIABLE])
        self._listener.listen()
        self._ours: dict[int, bool] = {}  # by thread: whether it is of the command's own process
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):  # closed: nobody asked
            near, _ = self._listener.accept()
            _, (file,), _, _ = socket.recv_fds(near, 1, 1)
            pid = struct.unpack("3i", near.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
            near.close()
            poll = select.poll()
            poll.register(file, select.POLLIN)
            try:
                while poll.poll()[0][1] & select.POLLIN:
                    self._answer(file, pid)
            finally:
                os.close(file)

    def _answer(self, file: int, pid: int) -> None:
        asked = bytearray(_NOTIFICATION.size)
        with suppress(OSError):  # whoever asked has died
            fcntl.ioctl(file, _RECEIVE, asked)
            id_, thread, _, number, _, _, *arguments = _NOTIFICATION.unpack(asked)
            fate = self._fate(thread, NAMES[number], arguments, pid)
            if fate == KILL:
                os.kill(pid, signal.SIGKILL)
                return
            answer = _ANSWER.pack(id_, 0, *((0, _GO_ON) if fate is None else (-fate, 0)))
            fcntl.ioctl(file, _SEND, bytearray(answer))

    def _fate(self, thread: int, name: str, arguments: list[int], pid: int) -> Fate:
        if thread not in self._ours:
            status = Path(f"/proc/{thread}/status").read_text()
            self._ours[thread] = f"\nTgid:\t{pid}\n" in status
        if not self._ours[thread]:
            return None
        path = _path(thread, name, arguments)
        if path.startswith(("pipe:", "/dev/", "anon_inode:", "/proc/", "/sys/")):
            return None
        call = Call(name, _told(path))
        self.calls.append(call)
        return self._decide(len(self.calls), call)


def _path(thread: int, name: str, arguments: list[int]) -> str:
    at = PATH_AT.get(name, 0)
    if name in BY_FILE or not arguments[at]:  # no path: of the open file, as futimens asks
        return os.readlink(f"/proc/{thread}/fd/{arguments[0] & 0xFFFFFFFF}")
    with Path(f"/proc/{thread}/mem").open("rb", buffering=0) as memory:
        memory.seek(arguments[at])
        path = os.fsdecode(memory.read(4096).partition(b"\0")[0])
    if not path.startswith("/") and name.endswith(("at", "at2")) and arguments[at - 1] < 1 << 31:
        path = f"{os.readlink(f'/proc/{thread}/fd/{arguments[at - 1]}')}/{path}"
    match = re.match(r"/proc/self/(fd/\d+)(.*)", path)
    return path if match is None else os.readlink(f"/proc/{thread}/{match[1]}") + match[2]


def _told(path: str) -> str:
    """The path by which two runs of a command are compared."""
    path = "socket" if path.startswith("socket:") else re.sub(r"^/.*/home\d*/", "~/", path)
    return re.sub(r"[0-9a-f]{12,}", "#", re.sub(r"(?<=sha256/)[0-9a-f]{2}(?=/|$)", "##", path))


@contextmanager
def asked(decide: Decide) -> Iterator[Asked]:
    """A command that gets the `variables` asks `decide` at each call of its own process."""
    with tempfile.TemporaryDirectory() as folder:
        made = Asked(decide, Path(folder))
        with closing(made):
            yield made


def no_fault(_number: int, _call: Call) -> Fate:
    return None


def killed_at(point: int) -> Decide:
    """As by kill -9, before call number `point`, from 1."""
    return lambda number, _: KILL if number == point else None


def full_from(point: int) -> Decide:
    """A disk that has no room from then on."""
    return lambda number, call: errno.ENOSPC if number >= point and call.name in TAKES_ROOM else None


def failing_at(point: int) -> Decide:
    """A disk that gives one error, at the first call from `point` on that asks something of it."""
    left = [errno.EIO]
    return lambda number, call: left.pop() if left and number >= point and call.name not in SENDS else None


def ask(place: str) -> None:
    """In the command, while it has one thread: from now on it asks at the socket `place`."""
    assert platform.machine() == "x86_64"
    numbers = sorted(set(CALLS.values()) - {CALLS["openat"], CALLS["open"]})
    code = [(_LOAD, 0, 0, 0)]
    for name, flags in (("openat", 32), ("open", 24)):  # only where a file may be made
        code += [(_EQUAL, 0, 3, CALLS[name]), (_LOAD, 0, 0, flags), (_ANY_BIT, 0, 1, os.O_CREAT)]
        code += [(_RETURN, 0, 0, _ASK), (_LOAD, 0, 0, 0)]
    code += [(_EQUAL, len(numbers) - at, 0, number) for at, number in enumerate(numbers)]
    code += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ASK)]
    words = b"".join(struct.pack("=HBBI", *one) for one in code)
    program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(held := ctypes.create_string_buffer(words)))
    libc = ctypes.CDLL(None, use_errno=True)
    with socket.socket(socket.AF_UNIX) as near:
        near.connect(place)
        libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
        file = libc.syscall(317, 1, 1 << 3, program)  # seccomp(SET_MODE_FILTER, NEW_LISTENER, …)
        assert file >= 0, os.strerror(ctypes.get_errno())
        socket.send_fds(near, [b"x"], [file])
        os.close(file)
    del held
