"""Work that several threads share, and that ends with the first error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Done = TypeVar("Done")


def each(work: Callable[[Part], Done], parts: Iterable[Part], threads: int) -> list[Done]:
    """What `work` returns for each part, in their order.

    Raises what `work` raises first, and Ctrl-C: parts that have not begun by then are not wanted any more.
    """
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, part) for part in parts]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
