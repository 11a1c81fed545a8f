"""Digests of lists of tensors, each on the device where it lies (digest_definition.py says which number)."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack, nullcontext
from typing import Any

from .digest_definition import MASK
from .torch_engine import TorchEngine

# A tensor with one of these dispatch keys has no bytes, or its bytes are not its values.
OPAQUE = (
    "Python",
    "FuncTorchBatched",
    "FuncTorchGradWrapper",
    "Functionalize",
    "ZeroTensor",
)
# Guards that switch off what a user, or torch itself, may have put between a call and its kernel.
GUARDS = (
    "_AutoDispatchBelowADInplaceOrView",
    "_DisableAutocast",
    "_DisableFuncTorch",
    "_DisablePythonDispatcher",
    "_DisableTorchDispatch",
    "DisableTorchFunction",
)


def describe(tensor: Any) -> str:
    """Dtype and shape, as recorded beside a digest: `float32[64,3,3]`, `int64[]`."""
    return f"{str(tensor.dtype).rpartition('.')[2]}[{','.join(str(size) for size in tensor.shape)}]"


def to_ints(digests: list[Any]) -> list[int | None]:
    """Digests as unsigned numbers. One copy to the host, and one wait, for each device among them."""
    found: list[int | None] = [None] * len(digests)
    torch: Any = sys.modules.get("torch")
    devices: dict[Any, list[int]] = {}
    for index, digest in enumerate(digests):
        if digest is not None:
            devices.setdefault(digest.device, []).append(index)
    for indices in devices.values():
        with undisturbed(torch):
            numbers = torch.stack([digests[index] for index in indices]).tolist()
        for index, number in zip(indices, numbers):  # noqa: B905 - Python 3.9
            found[index] = number & MASK
    return found


def capturing(torch: Any) -> bool:
    """Whether a CUDA graph is being captured: work started now would be recorded, not done."""
    cuda = torch.cuda
    return bool(cuda.is_available() and cuda.is_initialized() and cuda.is_current_stream_capturing())


class Digester:
    """Digests of lists of tensors. Safe to call from any thread; one call at a time does its work.

    `notes` says in words what did not go as planned: a device without a fused kernel, a tensor that torch
    could not read. Nothing here draws random numbers or is seen by autograd or by modes. Only the first
    digest on a device waits for it. Each new list of sizes copies small tables to the device.
    """

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._engines: dict[Any, Any] = {}
        self._readable: dict[int, bool] = {}
        self._lock = threading.Lock()
        self.notes: list[str] = []

    def digest(self, tensors: list[Any]) -> list[Any]:
        """For each tensor a 0-dim int64 on its own device; None where it has no bytes to digest."""
        found: list[Any] = [None] * len(tensors)
        with self._lock, undisturbed(self._torch):
            devices: dict[Any, list[int]] = {}
            for index, tensor in enumerate(tensors):
                if self._has_bytes(tensor):
                    devices.setdefault(tensor.device, []).append(index)
            for device, indices in devices.items():
                group = [tensors[index] for index in indices]
                try:
                    digests = self._engine(device).digest(group)
                except Exception as error:  # noqa: BLE001 - a digest that fails must not fail the job; it is noted
                    digests = self._one_by_one(device, group, error)
                for index, digest in zip(indices, digests):  # noqa: B905
                    found[index] = digest
        return found

    def _has_bytes(self, tensor: Any) -> bool:
        if not isinstance(tensor, self._torch.Tensor):
            return False
        keys = self._torch._C._dispatch_keys(tensor)
        kind = keys.raw_repr()
        readable = self._readable.get(kind)
        if readable is None:
            key = self._torch._C.DispatchKey
            readable = self._readable[kind] = (
                not any(keys.has(getattr(key, name)) for name in OPAQUE if hasattr(key, name))
                and tensor.layout is self._torch.strided
                and not tensor.is_quantized
                and not tensor.is_nested
                and tensor.device.type != "meta"
            )
        # A tensor whose storage was given back (FSDP does so) still has its shape.
        return readable and (tensor.data_ptr() != 0 or tensor.numel() == 0)

    def _engine(self, device: Any) -> Any:
        if device not in self._engines:
            engine: Any = TorchEngine(self._torch, device)
            if device.type == "cuda":
                try:
                    from .triton_engine import TritonEngine

                    engine = TritonEngine(self._torch, device, engine)
                except Exception as error:  # noqa: BLE001 - where a compiler fails, torch's own operations remain
                    self._note(f"{device}: digests by torch operations, no fused kernel", error)
            self._engines[device] = engine
        return self._engines[device]

    def _one_by_one(self, device: Any, group: list[Any], error: BaseException) -> list[Any]:
        """One tensor that torch cannot read must not cost the others their digests."""
        if len(group) > 1:
            found = []
            for tensor in group:
                try:
                    found += self._engine(device).digest([tensor])
                except Exception as why:  # noqa: BLE001
                    found += self._one_by_one(device, [tensor], why)
            return found
        self._note(f"no digest of {describe(group[0])} on {device}", error)
        return [None]

    def _note(self, what: str, error: BaseException) -> None:
        text = f"{what}: {type(error).__name__}: {error}"[:500]
        if text not in self.notes and len(self.notes) < 100:
            self.notes.append(text)


def undisturbed(torch: Any) -> ExitStack:
    """Outside autograd, inference mode, autocast, function transforms, and modes of torch or of the user."""
    stack = ExitStack()
    stack.enter_context(torch.inference_mode(False))
    for name in GUARDS:
        stack.enter_context(getattr(torch._C, name, nullcontext)())
    return stack
