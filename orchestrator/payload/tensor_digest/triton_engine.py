"""The digest of digest_definition.py on an NVIDIA GPU: two Triton kernels for a list of tensors.

The first reads each byte once and adds the mixed sums of its rows to one number per tensor; additions of
integers in any order give the same number. The second finishes them. Importing this module imports triton, so
only the engine of a GPU imports it. Triton compiles its launcher with the C compiler that it finds: in an
image without one, torch_engine.py makes the digests. Not run on a GPU yet:
tests/payload/triton_interpreted.py runs it in Triton's interpreter.
"""

from __future__ import annotations

from typing import Any

import triton  # type: ignore[import-not-found,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,unused-ignore]

from .digest_definition import GOLDEN, LENGTH, MIX, ROW, SHIFT, WORDS, signed, weights
from .torch_engine import LAYOUTS, flattened

TILE = 8  # rows for each program: 16 KiB

_SHIFT = tl.constexpr(SHIFT)
_WORDS = tl.constexpr(WORDS)
_GOLDEN = tl.constexpr(signed(GOLDEN))
_LENGTH = tl.constexpr(signed(LENGTH))
_HIGH = tl.constexpr(signed(0xFFFFFFFF00000000))
_LOW = tl.constexpr(0xFFFFFFFF)
_FACTOR_1 = tl.constexpr(signed(MIX[0][1]))
_FACTOR_2 = tl.constexpr(signed(MIX[1][1]))
_SHIFT_1, _MASK_1 = tl.constexpr(MIX[0][0]), tl.constexpr((1 << (64 - MIX[0][0])) - 1)
_SHIFT_2, _MASK_2 = tl.constexpr(MIX[1][0]), tl.constexpr((1 << (64 - MIX[1][0])) - 1)
_SHIFT_3, _MASK_3 = tl.constexpr(MIX[2][0]), tl.constexpr((1 << (64 - MIX[2][0])) - 1)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _mix(z):  # type: ignore[no-untyped-def,unused-ignore]
    z = (z ^ ((z >> _SHIFT_1) & _MASK_1)) * _FACTOR_1
    z = (z ^ ((z >> _SHIFT_2) & _MASK_2)) * _FACTOR_2
    return z ^ ((z >> _SHIFT_3) & _MASK_3)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _sum_rows(addresses, sizes, owners, first_tiles, weights, totals, rows: tl.constexpr):  # type: ignore[no-untyped-def,unused-ignore]
    """Program p reads `rows` rows of tensor owners[p]; addresses are multiples of 16."""
    tile = tl.program_id(0)
    owner = tl.load(owners + tile)
    size = tl.load(sizes + owner)
    address = tl.load(addresses + owner)
    words = tl.multiple_of(address.to(tl.pointer_type(tl.int64)), 16)
    whole = size // 8
    row = (tile - tl.load(first_tiles + owner)).to(tl.int64) * rows + tl.arange(0, rows).to(tl.int64)
    at = row[:, None] * _WORDS + tl.arange(0, _WORDS)[None, :]
    x = tl.load(words + at, mask=at < whole, other=0)
    # The bytes after the last complete word, at most seven: one word, padded with zeros.
    rest = (address + whole * 8).to(tl.pointer_type(tl.uint8))
    last = tl.zeros([], dtype=tl.int64)
    for k in tl.static_range(7):
        byte = tl.load(rest + k, mask=whole * 8 + k < size, other=0)
        last = last | (byte.to(tl.int64) << (8 * k))
    x = tl.where(at == whole, last, x)
    high = x >> _SHIFT
    folded = ((x & _HIGH) + (high & _HIGH)) + ((x + high) & _LOW)
    products = folded * tl.load(weights + tl.arange(0, _WORDS))[None, :]
    mixed = _mix(tl.sum(products, axis=1) + (row + 1) * _GOLDEN)
    tl.atomic_add(totals + owner, tl.sum(tl.where(row * (_WORDS * 8) < size, mixed, 0), axis=0))


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _finish(sizes, totals, digests, count, block: tl.constexpr):  # type: ignore[no-untyped-def,unused-ignore]
    at = tl.program_id(0) * block + tl.arange(0, block)
    inside = at < count
    total = tl.load(totals + at, mask=inside, other=0)
    size = tl.load(sizes + at, mask=inside, other=0)
    tl.store(digests + at, _mix(total + (size + 1) * _LENGTH), mask=inside)


class Tiles:
    """Which program reads which rows of which tensor, for tensors of these sizes in bytes. On the device."""

    def __init__(self, torch: Any, device: Any, sizes: tuple[int, ...]) -> None:
        counts = [-(-size // (TILE * ROW)) for size in sizes]
        firsts = [0]
        for count in counts:
            firsts.append(firsts[-1] + count)
        self.count = firsts.pop()
        self.sizes = torch.tensor(sizes, dtype=torch.int64, device=device)
        self.firsts = torch.tensor(firsts, dtype=torch.int64, device=device)
        owners = torch.arange(len(sizes), dtype=torch.int32, device="cpu")
        self.owners = owners.repeat_interleave(torch.tensor(counts, device="cpu")).to(device)


class TritonEngine:
    """The digest by the kernels above. They are checked once against `plain`, a TorchEngine."""

    def __init__(self, torch: Any, device: Any, plain: Any) -> None:
        self._torch = torch
        self._device = device
        self._weights = torch.tensor([signed(a) for a in weights()], dtype=torch.int64, device=device)
        self._tiles: dict[tuple[int, ...], Tiles] = {}
        self._check(plain)

    def _check(self, plain: Any) -> None:
        """Raise ValueError unless both give equal digests of random bits.

        The sizes end within a word, a row and a tile. This is the only place that waits for the device.
        """
        bits = self._weights.repeat(2 * TILE).view(self._torch.uint8)
        probes = [bits[:size] for size in (0, 1, 7, 8, 13, ROW, ROW + 5, (TILE + 1) * ROW + 3, len(bits))]
        ours, theirs = (self._torch.stack(e.digest(probes)).tolist() for e in (self, plain))
        if ours != theirs:
            raise ValueError(f"the kernel says {ours}, torch says {theirs}")

    def digest(self, tensors: list[Any]) -> list[Any]:
        """Digests of tensors that lie on this device and have bytes."""
        torch = self._torch
        flat = [self._aligned(flattened(torch, tensor)) for tensor in tensors]
        tiles = self._tiles_of(tuple([tensor.nbytes for tensor in flat]))
        addresses = self._send([tensor.data_ptr() for tensor in flat])
        totals = torch.zeros(len(flat), dtype=torch.int64, device=self._device)
        digests = torch.zeros_like(totals)
        with self._on_device():
            if tiles.count:
                _sum_rows[(tiles.count,)](
                    addresses, tiles.sizes, tiles.owners, tiles.firsts, self._weights, totals, rows=TILE
                )
            block = 128
            _finish[(triton.cdiv(len(flat), block),)](tiles.sizes, totals, digests, len(flat), block=block)
        # The copies in `flat` may be freed now: only later work of the same stream gets their memory.
        return list(digests.unbind(0))

    def _on_device(self) -> Any:
        return self._torch.cuda.device(self._device)

    def _aligned(self, flat: Any) -> Any:
        return flat.clone() if flat.data_ptr() % 16 else flat

    def _send(self, numbers: list[int]) -> Any:
        """Copy without waiting: from pinned memory, which torch keeps until the copy is done."""
        pinned = self._torch.tensor(numbers, dtype=self._torch.int64, device="cpu").pin_memory()
        return pinned.to(self._device, non_blocking=True)

    def _tiles_of(self, sizes: tuple[int, ...]) -> Tiles:
        tiles = self._tiles.get(sizes)
        if tiles is None:
            if len(self._tiles) >= LAYOUTS:
                self._tiles.clear()
            tiles = self._tiles[sizes] = Tiles(self._torch, self._device, sizes)
        return tiles
