"""The digest of digest_definition.py in torch's own operations, for the tensors of one device."""

from __future__ import annotations

import itertools
from typing import Any

from .digest_definition import GOLDEN, LENGTH, MIX, ROW, SHIFT, WORDS, signed, weights

SAME_SIZE = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}
SMALL = 16 * ROW  # tensors up to this size are copied together, and digested as one
BLOCK = 256  # rows for each thread: 512 KiB of the buffer; source and buffer stay in the L2 cache
DEVICE_BLOCK = 1 << 14  # rows at a time on another device: 32 MiB
LAYOUTS = 32  # lists of sizes remembered; a tracer has a few


class RowLayout:
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
        self._layouts: dict[tuple[int, ...], RowLayout] = {}
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
        """Buffers for the current number of threads."""
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

    def _layout(self, sizes: tuple[int, ...]) -> RowLayout:
        layout = self._layouts.get(sizes)
        if layout is None:
            if len(self._layouts) >= LAYOUTS:
                self._layouts.clear()
            layout = self._layouts[sizes] = RowLayout(self._torch, self._device, sizes)
        return layout

    def _room(self, rows: int) -> Any:
        """Space for the sums of rows. On a GPU it is new each time: a stream may still use the last one."""
        if not self._cpu:
            return self._torch.zeros(rows, dtype=self._torch.int64, device=self._device)
        if len(self._sums) < rows:
            self._sums = self._torch.zeros(rows, dtype=self._torch.int64, device=self._device)
        return self._sums[:rows]

    def _sum_copied(self, pieces: list[Any], sums: Any) -> None:
        """Sums of the rows of small pieces, each padded to complete rows; as many as fit at a time."""
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

    def _combine(self, layout: RowLayout, sums: Any) -> Any:
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
    """The elements in row-major order, in one dimension; a view where they are in that order already."""
    if tensor.is_conj():
        tensor = tensor.resolve_conj()
    if tensor.is_neg():
        tensor = tensor.resolve_neg()
    if not tensor.is_contiguous() and tensor.itemsize in SAME_SIZE:
        # The bits are copied as integers: some dtypes cannot be copied, complex32 not without a warning.
        tensor = tensor.view(getattr(torch, SAME_SIZE[tensor.itemsize]))
    flat = tensor.contiguous().flatten()
    # One element, or none, may have any stride, which view(dtype) does not take.
    return flat if flat.stride(0) == 1 else flat.as_strided((flat.numel(),), (1,))
