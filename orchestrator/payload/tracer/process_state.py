"""Digests of the states of the random number generators, and the rank of this process."""

from __future__ import annotations

import os
import sys

from .trace_writer import hex16

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from typing import Any

MAX_DEVICES = 16  # as in readback.py


def generators(torch: Any) -> list[tuple[str, str]]:
    """(name, hex16) of each global generator that is loaded: python, numpy, torch, cuda:N. Reading
    neither initialises nor advances them.
    """
    found: list[tuple[str, str]] = []
    python = sys.modules.get("random")
    if python is not None:
        found.append(("python", hex16(repr(python.getstate()).encode())))
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        found.append(("numpy", hex16(_numpy(numpy.get_state(legacy=False)))))
    found.append(("torch", hex16(_bytes(torch.default_generator.get_state()))))
    if torch.cuda.is_initialized():
        for index, generator in enumerate(torch.cuda.default_generators[:MAX_DEVICES]):
            found.append((f"cuda:{index}", hex16(_bytes(generator.get_state()))))
    return found


def _numpy(state: Any) -> bytes:
    """The bytes of numpy's state: a dict of dicts, numbers and an array."""
    if isinstance(state, dict):
        return b"".join(str(key).encode() + b"=" + _numpy(value) + b";" for key, value in state.items())
    return bytes(state.tobytes()) if hasattr(state, "tobytes") else repr(state).encode()


def _bytes(state: Any) -> bytes:
    """The bytes of a ByteTensor on the CPU, without numpy."""
    import ctypes

    return ctypes.string_at(state.data_ptr(), state.numel())


def rank() -> tuple[int, int]:
    """(rank, world size): of the process group where there is one, else as torchrun says, else (0, 1)."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    words = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    if all(word.isdigit() for word in words):
        return int(words[0]), int(words[1])
    return 0, 1


def data_worker() -> bool:
    """Whether this process only loads data for another."""
    worker = sys.modules.get("torch.utils.data._utils.worker")
    return worker is not None and worker._worker_info is not None
