"""The tensors in a file of `torch.save`: names, types and shapes, without torch and without unpickling.

Since PyTorch 1.6 such a file is a zip: `data.pkl` says what is saved, `data/0`, `data/1` … hold the numbers
of tensors and are not read. Source: torch/serialization.py and torch/_utils.py of PyTorch 2.13.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from orchestrator.web.previews.bounded_zip import BoundedZip
from orchestrator.web.previews.pickle_reading import (
    ClassName,
    Held,
    StoredPart,
    UnreadFileError,
    read_pickle,
)

LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # how a file of PyTorch before 1.6 begins
PICKLE = "/data.pkl"
LARGEST_PICKLE = 8 << 20  # bytes; a tensor takes some 150
DEEPEST = 100  # containers within each other
LONGEST_PATH = 200  # characters of a tensor's name
MOST_CLASSES = 1000
MOST_WRAPPED = 4  # a parameter holds a tensor; a file can say so of a parameter, too
MOST_DIMENSIONS = 64
_WHOLE = range(1 << 63)

# Storage class -> type and bytes of an element. Also the types that have no class of their own.
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32",
    "UntypedStorage": "uint8",
}
_SIZES = {
    **dict.fromkeys(("complex128",), 16),
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 8),
    **dict.fromkeys(("float32", "int32", "uint32", "qint32", "complex32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("int8", "uint8", "bool", "qint8", "quint8"), 1),
    **dict.fromkeys(("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"), 1),
    "float8_e8m0fnu": 1,
}
# Where a module keeps its own; `state_dict` leaves these words out, too.
_OF_MODULES = ("_modules", "_parameters", "_buffers")
# What PyTorch writes to have a plain value made: no object of somebody's class.
_PLAIN = {
    *("collections.OrderedDict", "collections.defaultdict", "__builtin__.set", "builtins.set"),
    *("__builtin__.frozenset", "builtins.frozenset", "_codecs.encode", "torch.Size", "torch.device"),
    *("torch.serialization._get_layout", "__builtin__.complex", "builtins.complex"),
}


class SavedTensor(NamedTuple):
    name: str
    dtype: str  # "?" where the file does not say it in a known way
    shape: tuple[int, ...]
    doubt: str = ""  # why the numbers cannot be what the shape says


class SavedFile(NamedTuple):
    tensors: list[SavedTensor]
    cut: bool  # there are more, or what lies deeper was not looked at
    classes: list[str]  # classes of the objects in it; no object is made


def read_torch_file(archive: BoundedZip, most: int) -> SavedFile:
    """At most so many tensors, in the order of the file. A container that is there twice is looked at once.

    UnreadFileError for every file that is not read; OSError and StoreError of its stream pass.
    """
    found = [member for member in archive.members if member.filename.endswith(PICKLE)]
    if len(found) != 1:
        raise UnreadFileError(f"it has {len(found):,} parts called data.pkl, and torch.save writes one")
    data = archive.head(found[0], LARGEST_PICKLE + 1)
    if len(data) > LARGEST_PICKLE:
        raise UnreadFileError(f"its data.pkl has more than {LARGEST_PICKLE >> 20} MiB")
    folder = found[0].filename.removesuffix("data.pkl") + "data/"
    sizes = {
        member.filename.removeprefix(folder): archive.size_of(member)
        for member in archive.members
        if member.filename.startswith(folder)
    }
    return _TensorSearch(sizes, most).over(read_pickle(data))


class _TensorSearch:
    """Through what a pickle holds, each container once, so that it ends: a file can put one into itself."""

    def __init__(self, sizes: dict[str, int], most: int) -> None:
        self._sizes = sizes  # bytes of each storage, as the zip lists them
        self._most = most
        self._seen: set[int] = set()
        self._classes: dict[str, None] = {}

    def over(self, root: Any) -> SavedFile:
        tensors: list[SavedTensor] = []
        cut = False
        open_ones: list[tuple[str, Iterator[tuple[str, Any]]]] = [("", iter([("", root)]))]
        while open_ones:
            path, children = open_ones[-1]
            step = next(children, None)
            if step is None:
                open_ones.pop()
                continue
            name, value = _joined(path, step[0]), step[1]
            tensor = _tensor(value)
            if tensor is not None:
                if len(tensors) == self._most:
                    cut = True
                    break
                tensors.append(SavedTensor(name or "the whole", *_words(tensor, self._sizes)))
            elif isinstance(value, Held | tuple) and id(value) not in self._seen:
                self._seen.add(id(value))
                self._note(value)
                cut = cut or len(open_ones) > DEEPEST
                if len(open_ones) <= DEEPEST:
                    open_ones.append((name, _children(value)))
        return SavedFile(tensors, cut, list(self._classes))

    def _note(self, value: Held | tuple[Any, ...]) -> None:
        made_by = value.made_by if isinstance(value, Held) else None
        if not isinstance(made_by, ClassName) or len(self._classes) == MOST_CLASSES:
            return
        if str(made_by) not in _PLAIN:
            self._classes[str(made_by)] = None


def _children(value: Held | tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """What was put into it, named as a reader would reach it."""
    if isinstance(value, tuple):
        yield from ((str(place), item) for place, item in enumerate(value))
        return
    yield from ((str(place), item) for place, item in enumerate(value.items))
    yield from ((_key(key), item) for key, item in value.pairs)
    if value.args:
        yield "", value.args
    if value.state is not None:
        yield "", value.state


def _key(key: Any) -> str:
    if isinstance(key, str):
        return "" if key in _OF_MODULES else key[:LONGEST_PATH]
    # Of a long number Python makes no text, or slowly.
    short = isinstance(key, bool | float | None) or (isinstance(key, int) and key.bit_length() <= 64)
    return str(key) if short else "?"


def _joined(path: str, name: str) -> str:
    whole = f"{path}.{name}" if path and name else path or name
    return whole if len(whole) <= LONGEST_PATH else f"…{whole[-LONGEST_PATH:]}"


class _Asked(NamedTuple):
    """A tensor as the file asks for it; nothing of it is checked."""

    storage: Any  # None: it has none
    offset: Any
    shape: Any
    stride: Any
    dtype: Any = None  # None: its storage's
    kind: str = ""


def _tensor(value: Any, dense: bool = False) -> _Asked | None:
    """What a call of one of PyTorch's own functions would make; None for all else. `dense`: no sparse one."""
    for _ in range(MOST_WRAPPED):
        if not isinstance(value, Held) or not isinstance(value.made_by, ClassName):
            return None
        made_by, args = str(value.made_by), value.args
        if not isinstance(args, tuple):
            return None
        match made_by.removeprefix("torch._utils."), args:
            case (("_rebuild_parameter" | "_rebuild_parameter_with_state"), (held, *_)):
                value = held
            case "torch._tensor._rebuild_from_type_v2", (ClassName() as function, _, inner, *_):
                value = Held(function, inner)
            case "_rebuild_tensor_v3", (storage, offset, shape, stride, _, _, dtype, *_):
                return _Asked(storage, offset, shape, stride, dtype)
            case (
                ("_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_qtensor"),
                (storage, offset, shape, stride, *_),
            ):
                return _Asked(storage, offset, shape, stride)
            case "_rebuild_meta_tensor_no_storage", (dtype, shape, stride, *_):
                return _Asked(None, 0, shape, stride, dtype, "meta")
            case "_rebuild_sparse_tensor", (_, tuple() as parts, *_) if not dense:
                return _sparse(parts)
            case _:
                return None
    return None


def _sparse(parts: tuple[Any, ...]) -> _Asked | None:
    """Of indices, values, shape and perhaps a flag: the shape, with the type of the values before it."""
    for place, part in enumerate(parts[1:4], 1):
        if _whole_numbers(part) is not None and isinstance(parts[place - 1], Held):
            values = _tensor(parts[place - 1], dense=True)
            return _Asked(None, 0, part, None, _dtype(values), "sparse") if values else None
    return None


def _words(asked: _Asked, sizes: dict[str, int]) -> tuple[str, tuple[int, ...], str]:
    """Type, shape and doubt, of what may be anything."""
    dtype, shape = _dtype(asked), _whole_numbers(asked.shape)
    kind = f"{dtype} {asked.kind}".strip()
    if shape is None:
        return kind, (), "its shape cannot be read"
    if asked.storage is None or dtype not in _SIZES or 0 in shape:
        return kind, shape, ""
    stride = _whole_numbers(asked.stride)
    if stride is None or len(stride) != len(shape) or not _is_whole(asked.offset):
        return kind, shape, "where its numbers lie cannot be read"
    last = asked.offset + sum((length - 1) * apart for length, apart in zip(shape, stride, strict=True))
    needed, held = (last + 1) * _SIZES[dtype], _held(asked.storage, sizes)
    return kind, shape, f"needs {needed:,} bytes and has {held:,}" if needed > held else ""


def _stored(storage: Any) -> tuple[str, str, int]:
    """Name in the zip, type, and count of elements; a file says them in a tuple."""
    match storage:
        case StoredPart(name=("storage", ClassName(name=kind), str() as key, _, int() as count)):
            return key, _STORAGES.get(kind, "?"), count
    return "", "?", 0


def _held(storage: Any, sizes: dict[str, int]) -> int:
    """Bytes of a storage: what the file says of it, and no more than the zip has."""
    key, dtype, count = _stored(storage)
    return max(0, min(count * _SIZES.get(dtype, 1), sizes.get(key, 0)))


def _dtype(asked: _Asked) -> str:
    match asked.dtype:
        case None:
            return _stored(asked.storage)[1]
        case str() if asked.kind == "sparse":  # told by its values
            return asked.dtype
        case ClassName(module="torch", name=name) if name in _SIZES:
            return name
    return "?"


def _whole_numbers(value: Any) -> tuple[int, ...] | None:
    """A tuple of lengths, or the torch.Size of one."""
    if isinstance(value, Held) and isinstance(value.made_by, ClassName) and isinstance(value.args, tuple):
        value = value.args[0] if str(value.made_by) == "torch.Size" and len(value.args) == 1 else None
    if not isinstance(value, tuple) or len(value) > MOST_DIMENSIONS or not all(map(_is_whole, value)):
        return None
    return value


def _is_whole(value: Any) -> bool:
    return type(value) is int and value in _WHOLE
