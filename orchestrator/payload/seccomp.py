"""A filter of system calls that refuses AF_ALG sockets, in addition to the engine's own filter.

AF_ALG sockets reach the kernel's ciphers. Jobs do not need them, and exploits of the kernel have used them.
Docker's default profile allows them, and an engine takes another profile only in full. So the entry point
refuses them, for itself and its children: a filter cannot be removed.

Installing it costs 1.5 ms. `_ctypes` is the part of `ctypes` that calls C; importing the rest costs 2 more.
"""

from __future__ import annotations

import os

ALG = 38  # the address family
EPERM = 1

# linux/audit.h, linux/seccomp.h, linux/prctl.h, linux/filter.h
X86_64, I386, AARCH64, ARM = 0xC000003E, 0x40000003, 0xC00000B7, 0x40000028
X32 = 0x40000000  # set in the number of a system call by the x32 ABI, which else has x86-64's numbers
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | EPERM
NUMBER, ARCHITECTURE, FIRST = 0, 4, 16  # offsets in seccomp_data; the low half of the first argument
LOAD, AND, EQUALS, RETURN = 0x20, 0x54, 0x15, 0x06
SET_NO_NEW_PRIVS, SET_FILTER, SPEC_ALLOW = 38, 1, 4

SECCOMP = {"x86_64": 317, "aarch64": 277}  # the number of seccomp(2) itself
FAMILIES = {X86_64: (41, 53), I386: (359, 360), AARCH64: (198, 199), ARM: (281, 288)}
"""Numbers of socket and socketpair, for every architecture that a kernel of those in SECCOMP runs."""
IO_URING = 425  # io_uring_setup everywhere: a ring opens sockets unseen; Docker denies it since 25.0
SOCKETCALL, CALLS = 102, (1, 8)  # i386's older way to socket and socketpair


def deny_alg() -> None:
    """Install the filter in this process, of one thread. OSError or ImportError where it cannot be."""
    from _ctypes import FUNCFLAG_CDECL, FUNCFLAG_USE_ERRNO, CFuncPtr, _SimpleCData, dlopen, dlsym, get_errno

    class Function(CFuncPtr):  # of ints and bytes; returns an int
        _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO

    class Pointer(_SimpleCData):  # type: ignore[type-arg]
        _type_ = "z"

    machine = os.uname().machine
    if machine not in SECCOMP:
        raise OSError(f"the system calls of {machine} are not known here")
    library = dlopen(None, 0)  # type: ignore[arg-type]
    prctl, syscall = Function(dlsym(library, "prctl")), Function(dlsym(library, "syscall"))
    # The engine has set no_new_privs; under a plain docker run nobody has, and the filter needs it.
    if prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(get_errno(), "no_new_privs: " + os.strerror(get_errno()))
    code = program()
    counted = (len(code) // 8).to_bytes(8, "little") + bytes(Pointer(code))
    # SPEC_ALLOW: else, before Linux 5.16, a filter slows the job down. Before 4.17 the flag is not known.
    if all(syscall(SECCOMP[machine], SET_FILTER, flags, counted) for flags in (SPEC_ALLOW, 0)):
        raise OSError(get_errno(), "seccomp: " + os.strerror(get_errno()))


def program() -> bytes:
    """The filter as the kernel reads it: of each instruction code, two jumps and operand.

    32-bit programs may run beside the 64-bit ones, so their calls are looked at too. Of a socketcall a
    filter sees which call is meant but not the family, which lies in memory: socket and socketpair are
    refused by that way, which no C library has needed since 2016.
    """
    code = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUALS, 0, 6, I386),
        (LOAD, 0, 0, NUMBER),
        (EQUALS, 0, 4, SOCKETCALL),
        (LOAD, 0, 0, FIRST),
        (EQUALS, 1, 0, CALLS[0]),
        (EQUALS, 0, 1, CALLS[1]),
        (RETURN, 0, 0, REFUSE),
    ]
    for architecture, (socket, pair) in FAMILIES.items():
        code += [
            (LOAD, 0, 0, ARCHITECTURE),
            (EQUALS, 0, 10, architecture),
            (LOAD, 0, 0, NUMBER),
            (AND, 0, 0, ~X32 & 0xFFFFFFFF),
            (EQUALS, 5, 0, IO_URING),
            (EQUALS, 2, 0, socket),
            (EQUALS, 1, 0, pair),
            (RETURN, 0, 0, ALLOW),
            (LOAD, 0, 0, FIRST),
            (EQUALS, 0, 1, ALG),
            (RETURN, 0, 0, REFUSE),
            (RETURN, 0, 0, ALLOW),
        ]
    code.append((RETURN, 0, 0, REFUSE))  # no architecture that these kernels run
    return b"".join(
        (word | yes << 16 | no << 24 | operand << 32).to_bytes(8, "little") for word, yes, no, operand in code
    )
