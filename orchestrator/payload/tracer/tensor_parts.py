"""The plain tensors that a tensor consists of: sparse, quantized and nested ones have no bytes of their own,
and neither have subclasses that hold others (DTensor, torchao's weights).
"""

from __future__ import annotations

from ..tensor_digest.digester import undisturbed

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MAX_DEPTH = 4  # of subclasses within each other
FACTOR = 0x9E3779B1  # of the digests before, where several parts have one together


def parts(torch: Any, tensor: Any) -> list[Any]:
    """In an order that the kind of tensor fixes; the tensor itself where it is plain, or not known here."""
    kind = type(tensor)
    if tensor is None or (
        (kind is torch.Tensor or kind is torch.nn.Parameter)
        and tensor.layout is torch.strided
        and not tensor.is_quantized
        and not tensor.is_nested
    ):
        return [tensor]
    with undisturbed(torch):
        return list(_within(torch, tensor, 0))


def _within(torch: Any, tensor: Any, depth: int) -> Iterator[Any]:
    kind, layout = type(tensor), tensor.layout
    flatten = getattr(kind, "__tensor_flatten__", None)
    if kind.__name__ == "DTensor":
        yield tensor._local_tensor
    elif flatten is not None and depth < MAX_DEPTH:
        for name in flatten(tensor)[0]:
            yield from _within(torch, getattr(tensor, name), depth + 1)
    elif layout is torch.sparse_coo:
        yield from (tensor._indices(), tensor._values())
    elif layout in (torch.sparse_csr, torch.sparse_bsr):
        yield from (tensor.crow_indices(), tensor.col_indices(), tensor.values())
    elif layout in (torch.sparse_csc, torch.sparse_bsc):
        yield from (tensor.ccol_indices(), tensor.row_indices(), tensor.values())
    elif tensor.is_quantized:
        yield from _of_quantized(torch, tensor)
    elif tensor.is_nested:
        yield from (tensor._nested_tensor_size(), tensor.values())
    else:
        yield tensor


def _of_quantized(torch: Any, tensor: Any) -> Iterator[Any]:
    yield tensor.int_repr()
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        yield torch.tensor([tensor.q_scale(), tensor.q_zero_point()], dtype=torch.float64)
    else:
        yield from (tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points())


def together(torch: Any, digests: list[Any]) -> Any:
    """One digest for the digests of a tensor's parts; None where one of them has none."""
    if len(digests) == 1:
        return digests[0]
    if any(digest is None for digest in digests):
        return None
    found = digests[0]
    with undisturbed(torch):
        for digest in digests[1:]:
            found = found * FACTOR + digest
    return found
