"""Run as a program, alone or as a job: what the kernel says to sockets asked for in every known way.

Prints one JSON object: name of the way -> 0, or the errno.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import platform
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

ALG = 38
libc = ctypes.CDLL(None, use_errno=True)


def asked(make: Callable[[], object]) -> int:
    try:
        make()
    except OSError as error:
        return error.errno or -1
    return 0


def call(number: int, *arguments: object) -> int:
    result = libc.syscall(ctypes.c_long(number), *arguments)
    return ctypes.get_errno() if result == -1 else 0


def int80(number: int, *arguments: int) -> int:
    """A system call of the i386 ABI, which a 64-bit program may make too.

    In a child: a kernel without that ABI kills who tries (then -11).
    """
    words = [number, *arguments, 0, 0, 0][:4]
    eax, ebx, ecx, edx = (word.to_bytes(4, "little") for word in words)
    code = b"\x53\xb8" + eax + b"\xbb" + ebx + b"\xb9" + ecx + b"\xba" + edx + b"\xcd\x80\x5b\xc3"
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return in_fork(lambda: max(-ctypes.CFUNCTYPE(ctypes.c_int)(address)(), 0))


def in_fork(work: Callable[[], int]) -> int:
    child = os.fork()
    if child == 0:
        os._exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def everything() -> dict[str, int]:
    inet, local = socket.AF_INET, socket.AF_UNIX
    found = {
        "alg": asked(lambda: socket.socket(ALG, socket.SOCK_SEQPACKET)),
        "alg pair": asked(lambda: socket.socketpair(ALG, socket.SOCK_SEQPACKET)),
        "inet": asked(lambda: socket.socket(inet, socket.SOCK_STREAM).close()),
        "unix": asked(lambda: socket.socket(local, socket.SOCK_STREAM).close()),
        "unix pair": asked(lambda: [end.close() for end in socket.socketpair()]),
        "ring": call(425, 1, ctypes.create_string_buffer(120)),
    }
    if platform.machine() == "x86_64":
        # The kernel takes an int of the family: what stands above it must hide nothing.
        found["alg, high bits"] = call(41, ctypes.c_ulong((1 << 32) + ALG), 5, 0)
        found["alg of x32"] = call(41 | 1 << 30, ALG, 5, 0)
        found["alg of i386"] = int80(359, ALG, 5)
        found["alg pair of i386"] = int80(360, ALG, 5)
        found["socketcall"] = int80(102, 1)
        found["socketcall pair"] = int80(102, 8)
        found["unix of i386"] = int80(359, local, 1)
        found["socketcall bind"] = int80(102, 2)
    return found


def main() -> None:
    found = everything()
    if sys.argv[1:] != ["alone"]:
        child = subprocess.run([sys.executable, __file__, "alone"], capture_output=True, check=True)
        found["alg in a child"] = json.loads(child.stdout)["alg"]
        thread = threading.Thread(target=lambda: found.update({"alg in a thread": everything()["alg"]}))
        thread.start()
        thread.join()
        found["alg in a fork"] = in_fork(lambda: everything()["alg"])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
