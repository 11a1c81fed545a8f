"""The digest of a tensor: 64 bits of its bytes, the same on a CPU and on a GPU, at any number of threads.

The specification (all numbers mod 2^64; `>>` keeps the sign, `>>>` fills with zeros; G = 0x9E3779B97F4A7C15):

1.  The bytes of the tensor in row-major order, little endian, are L bytes; conjugation and negation that
    torch has only noted are carried out first. Zero bytes fill them up to a multiple of 2048. They are rows
    of 256 signed 64-bit words x[0..255]; an empty tensor has no row.
2.  mix(z): z ^= z >>> 30; z *= 0xBF58476D1CE4E5B9; z ^= z >>> 27; z *= 0x94D049BB133111EB; z ^= z >>> 31.
    (It is the last step of splitmix64.) Weights: A[i] = mix((i + 1) * G) | 1, for i = 0..255.
3.  The sum of row r = 0, 1, ...: s[r] = sum over i of A[i] * fold(x[i]). fold(x) adds x >> 35 to x in two
    halves: each 32 bits of the one to the same 32 bits of the other, mod 2^32, no carry between the halves.
4.  The digest: mix(sum over r of mix(s[r] + (r + 1) * G)  +  (L + 1) * 0xD1B54A32D192ED03).

Dtype and shape are not in it: `describe` says them, to be recorded beside it.

Why so. Sums of integers do not depend on their order. In a product mod 2^64 the high bits of a word reach few
bits of the result (the sign of an fp64, or of every second fp32, only one); hence fold, *before* the product:
each bit then reaches at least 30 bits of the row's sum. Folding after the product instead (m = x * W;
m ^= m >>> 32) loses half of all pairs of flipped signs: each changes the sum by 2^63 and by 2^31, up or down.
With these weights one or two flipped bits of a row always change its sum, and one changed row always changes
the digest (a test tries all pairs). Other changes are missed with a probability of 2^-64; at worst 2^-30,
where they touch nothing but the high bits of several words of one row. It is no cryptographic hash: it finds
accidents, it does not stop a forger.

Cost on a CPU: three passes, the first over memory, two over a buffer in the L2 cache. The first two are of
vector instructions. Torch has none for products of int64, nor for sums (they multiply by `alpha`): 13 GB/s a
core each, AVX2 or AVX-512; so it is int32 halves that are added. Measured: benchmarks/tensor_digest.py.

These modules run inside the job: standard library and torch, which the caller hands in.
"""

from __future__ import annotations

import itertools
import sys
import threading
from contextlib import ExitStack, nullcontext
from typing import Any

ROW = 2048  # bytes
WORDS = ROW // 8
SHIFT = 35
GOLDEN = 0x9E3779B97F4A7C15
LENGTH = 0xD1B54A32D192ED03
MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))  # shift, then factor
MASK = (1 << 64) - 1

SAME_SIZE = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}
SMALL = 16 * ROW  # up to here tensors are copied together, and digested as one
BLOCK = 256  # rows for each thread: 512 KiB of the buffer; source and buffer stay in the L2 cache
DEVICE_BLOCK = 1 << 14  # rows at a time on another device: 32 MiB
LAYOUTS = 32  # lists of sizes remembered; a tracer has a few

# Tensors that have one of these keys are not what their bytes say, or have none.
OPAQUE = (
    "Python",
    "FuncTorchBatched",
    "FuncTorchGradWrapper",
    "Functionalize",
    "ZeroTensor",
)
# What a user, or torch itself, may have put between a call and its kernel.
GUARDS = (
    "_AutoDispatchBelowADInplaceOrView",
    "_DisableAutocast",
    "_DisableFuncTorch",
    "_DisablePythonDispatcher",
    "_DisableTorchDispatch",
    "DisableTorchFunction",
)


def signed(number: int) -> int:
    """The number mod 2^64 as torch holds it in an int64."""
    number &= MASK
    return number - (1 << 64) if number >> 63 else number


def mixed(number: int) -> int:
    """mix() of the specification, of one number."""
    number &= MASK
    for shift, factor in MIX:
        number = (number ^ (number >> shift)) * factor & MASK
    return number


def weights() -> list[int]:
    """A[0..255], unsigned."""
    return [mixed((i + 1) * GOLDEN) | 1 for i in range(WORDS)]


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
        with _undisturbed(torch):
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
    could not read. Nothing here draws random numbers or is seen by autograd or by modes. Nothing waits for a
    device but the first digest on it, and it copies small tables to it for every new list of sizes.
    """

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._engines: dict[Any, Any] = {}
        self._readable: dict[int, bool] = {}
        self._lock = threading.Lock()
        self.notes: list[str] = []

    def digest(self, tensors: list[Any]) -> list[Any]:
        """For each tensor an int64 of no dimension on its own device, or None: it has no bytes to digest."""
        found: list[Any] = [None] * len(tensors)
        with self._lock, _undisturbed(self._torch):
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
                    from .gpudigest import TritonEngine

                    engine = TritonEngine(self._torch, device, engine)
                except Exception as error:  # noqa: BLE001 - whatever a compiler raises, torch's own operations do
                    self._note(f"{device}: digests by torch operations, no fused kernel", error)
            self._engines[device] = engine
        return self._engines[device]

    def _one_by_one(self, device: Any, group: list[Any], error: BaseException) -> list[Any]:
        """One tensor that torch cannot read must not take the others with it."""
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


class Layout:
    """Where the rows of a list of tensors lie, for one tuple of their sizes in bytes.

    All rows of large tensors first, then the copied rows: small tensors, and what large ones have over.
    """

    def __init__(self, torch: Any, device: Any, sizes: tuple[int, ...]) -> None:
        def tensor(numbers: list[Any]) -> Any:
            return torch.tensor(numbers, dtype=torch.int64, device=device)

        self.direct = [size // ROW if size > SMALL else 0 for size in sizes]
        rows = [-(-size // ROW) for size in sizes]
        copied = [all_rows - direct for all_rows, direct in zip(rows, self.direct)]  # noqa: B905 - Python 3.9
        bounds: list[int] = []
        at = 0
        for counts in (self.direct, copied):
            ends = [at + count for count in itertools.accumulate(counts)]
            begins = [at, *ends][: len(counts)]
            bounds += begins + ends
            at += sum(counts)
        self.rows = at
        self.bounds = tensor(bounds)
        count = torch.arange(1, max(rows, default=0) + 1, dtype=torch.int64, device=device)
        pieces = [count[:direct] for direct in self.direct]
        pieces += [count[direct:last] for direct, last in zip(self.direct, rows)]  # noqa: B905
        self.numbers = torch.cat(pieces) * signed(GOLDEN)
        self.lengths = tensor([signed((size + 1) * LENGTH) for size in sizes])


class TorchEngine:
    """The digest in torch's own operations, for tensors of one device."""

    def __init__(self, torch: Any, device: Any) -> None:
        self._torch = torch
        self._device = device
        self._cpu = device.type == "cpu"
        self._block = 0
        self._weights = torch.tensor([signed(a) for a in weights()], dtype=torch.int64, device=device)
        self._padding = torch.zeros(ROW, dtype=torch.uint8, device=device)
        self._layouts: dict[tuple[int, ...], Layout] = {}
        self._sums = torch.zeros(0, dtype=torch.int64, device=device)

    def digest(self, tensors: list[Any]) -> list[Any]:
        """Digests of tensors that lie on this device and have bytes."""
        self._fit()
        layout = self._layout(tuple([tensor.nbytes for tensor in tensors]))
        sums = self._room(layout.rows)
        done = 0
        over = []
        for tensor, direct in zip(tensors, layout.direct):  # noqa: B905
            flat = flattened(self._torch, tensor)
            if direct:
                size = direct * WORDS * 8 // flat.itemsize
                if flat.storage_offset() * flat.itemsize % 8:
                    flat = flat.clone()
                whole = flat[:size].view(self._torch.int64).view(direct, WORDS)
                for block in whole.split(self._block) if direct > self._block else (whole,):
                    self._sum_rows(block, sums[done : done + len(block)])
                    done += len(block)
                flat = flat[size:]
            over.append(flat.view(self._torch.uint8))
        self._sum_copied(over, sums[done:])
        return list(self._combine(layout, sums).unbind(0))

    def _fit(self) -> None:
        """Buffers for the threads that there are now."""
        torch = self._torch
        block = BLOCK * min(max(torch.get_num_threads(), 1), 16) if self._cpu else DEVICE_BLOCK
        if block == self._block:
            return
        self._block = block
        self._views: dict[int, Any] = {}
        if self._cpu:
            shape = (block, WORDS)
            self._buffer = torch.zeros(shape, dtype=torch.int64, device=self._device)
            self._copied = torch.zeros(block * ROW, dtype=torch.uint8, device=self._device)
            self._columns = self._weights.view(1, WORDS, 1).expand(block, WORDS, 1)

    def _layout(self, sizes: tuple[int, ...]) -> Layout:
        layout = self._layouts.get(sizes)
        if layout is None:
            if len(self._layouts) >= LAYOUTS:
                self._layouts.clear()
            layout = self._layouts[sizes] = Layout(self._torch, self._device, sizes)
        return layout

    def _room(self, rows: int) -> Any:
        """Space for the sums of rows. On another device never the same twice: a stream may still use it."""
        if not self._cpu:
            return self._torch.zeros(rows, dtype=self._torch.int64, device=self._device)
        if len(self._sums) < rows:
            self._sums = self._torch.zeros(rows, dtype=self._torch.int64, device=self._device)
        return self._sums[:rows]

    def _sum_copied(self, pieces: list[Any], sums: Any) -> None:
        """Sums of the rows of small pieces, each filled up to whole rows; as many as fit at a time."""
        batch: list[Any] = []
        rows = done = 0
        for piece in pieces:
            size = len(piece)
            if not size:
                continue
            more = -(-size // ROW)
            if rows + more > self._block:
                done += self._flush(batch, rows, sums[done : done + rows])
                batch, rows = [], 0
            batch.append(piece)
            if size % ROW:
                batch.append(self._padding[size % ROW :])
            rows += more
        self._flush(batch, rows, sums[done : done + rows])

    def _flush(self, batch: list[Any], rows: int, sums: Any) -> int:
        if rows:
            if self._cpu:
                copied = self._copied[: rows * ROW]
                self._torch.cat(batch, out=copied)
            else:
                copied = self._torch.cat(batch)
            self._sum_rows(copied.view(self._torch.int64).view(rows, WORDS), sums)
        return rows

    def _sum_rows(self, words: Any, out: Any) -> None:
        """Step 3, for [rows, 256] words."""
        torch = self._torch
        if not self._cpu:
            folded = torch.bitwise_right_shift(words, SHIFT)
            folded.view(torch.int32).add_(words.view(torch.int32))
            folded *= self._weights
            torch.sum(folded, 1, out=out)
            return
        rows = len(words)
        if rows not in self._views:  # the same few sizes in every step
            part = self._buffer[:rows]
            line = part.view(rows, 1, WORDS)
            self._views[rows] = part, part.view(torch.int32), line, self._columns[:rows]
        folded, halves, lines, columns = self._views[rows]
        torch.bitwise_right_shift(words, SHIFT, out=folded)
        halves.add_(words.view(torch.int32))
        # Row times column: plain loops over integers that write only the sums, at 20 GB/s a core. The batched
        # one has threads; from rows of 400 words on, torch takes another, 100 times slower.
        if torch.get_num_threads() == 1:
            torch.mv(folded, self._weights, out=out)
        else:
            torch.bmm(lines, columns, out=out.view(rows, 1, 1))

    def _combine(self, layout: Layout, sums: Any) -> Any:
        """Step 4, for all tensors at once: [tensors]."""
        torch = self._torch
        total = torch.zeros(layout.rows + 1, dtype=torch.int64, device=self._device)
        torch.cumsum(self._mix(sums + layout.numbers), 0, out=total[1:])
        begin, end, begin_copied, end_copied = total.index_select(0, layout.bounds).view(4, -1).unbind(0)
        return self._mix(end - begin + end_copied - begin_copied + layout.lengths)

    def _mix(self, number: Any) -> Any:
        """mix() of the specification, in place."""
        for shift, factor in MIX:
            high = self._torch.bitwise_right_shift(number, shift)
            high &= (1 << (64 - shift)) - 1
            number ^= high
            if factor != 1:
                number *= signed(factor)
        return number


def flattened(torch: Any, tensor: Any) -> Any:
    """The elements in row-major order, of one dimension; a view where they lie so already."""
    if tensor.is_conj():
        tensor = tensor.resolve_conj()
    if tensor.is_neg():
        tensor = tensor.resolve_neg()
    if not tensor.is_contiguous() and tensor.itemsize in SAME_SIZE:
        # Bits are copied, whatever they mean: some dtypes cannot be, complex32 not without a warning.
        tensor = tensor.view(getattr(torch, SAME_SIZE[tensor.itemsize]))
    flat = tensor.contiguous().flatten()
    # One element, or none, may have any stride, which view(dtype) does not take.
    return flat if flat.stride(0) == 1 else flat.as_strided((flat.numel(),), (1,))


def _undisturbed(torch: Any) -> ExitStack:
    """Outside autograd, inference mode, autocast, function transforms, and modes of torch or of the user."""
    stack = ExitStack()
    stack.enter_context(torch.inference_mode(False))
    for name in GUARDS:
        stack.enter_context(getattr(torch._C, name, nullcontext)())
    return stack
