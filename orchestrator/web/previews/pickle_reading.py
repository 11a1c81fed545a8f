"""What a pickle says, as plain values that do nothing: no class is looked up, and nothing is called.

`pickle` runs what a file tells it to. This reads the same instructions and keeps only their words: a class is
its name, an object is a class with what was given to it. Every step makes at most one value, so memory and
time follow from the bounds on bytes and steps; nothing follows from sizes that the file claims.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

MOST_STEPS = 500_000  # instructions; a tensor takes some 40
LONGEST_NAME = 200  # characters of a class's module, and of its name


class UnreadFileError(ValueError):
    """A file that is not what it looks like, or more of it than is read. What is said is plain text."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassName:
    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class StoredPart:
    """What lies outside of the pickle; `name` is what the file says of it."""

    name: Any


class Held:
    """A container or an object, with what was put into it. `made_by` is None for a plain container."""

    __slots__ = ("args", "items", "made_by", "pairs", "state")

    def __init__(self, made_by: Any = None, args: Any = None) -> None:
        self.made_by = made_by  # a ClassName, or whatever else the file wanted to call
        self.args = args
        # Lists come with what is in them: half a million empty ones would take 60 MB.
        self.items: Sequence[Any] = ()
        self.pairs: Sequence[tuple[Any, Any]] = ()
        self.state: Any = None

    def put(self, values: Iterable[Any]) -> None:
        self.items = self.items if isinstance(self.items, list) else []
        self.items.extend(values)

    def put_pairs(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        self.pairs = self.pairs if isinstance(self.pairs, list) else []
        self.pairs.extend(pairs)


_MARK = object()


def read_pickle(data: bytes) -> Any:
    """The value that a pickle describes: numbers, text, bytes, tuples, ClassName, StoredPart, Held.

    A value may be found in many places, a Held one also in itself. Raises UnreadFileError and nothing else.
    """
    machine, reader = _Machine(), _Instructions(data)
    for _ in range(MOST_STEPS):
        code = reader.take(1)
        if code == _STOP:
            return machine.pop()
        known = _INSTRUCTIONS.get(code)
        if known is None:
            raise UnreadFileError(f"its pickle has the instruction 0x{code.hex()}, which is not read")
        argument, act = known
        act(machine, None if argument is None else argument(reader))
    raise UnreadFileError(f"its pickle has more than {MOST_STEPS:,} instructions")


class _Instructions:
    """Bytes from left to right; never more than there are."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        if len(found) < count:
            raise UnreadFileError("its pickle ends too early")
        self._at += count
        return found

    def line(self) -> str:
        """Up to a line end; a class's module, or its name."""
        end = self._data.find(b"\n", self._at, self._at + 4 * LONGEST_NAME)
        if end < 0:
            raise UnreadFileError(
                f"its pickle has a class whose name is longer than {LONGEST_NAME} characters"
            )
        found = self._data[self._at : end]
        self._at = end + 1
        return found.decode("utf-8", "replace")


def _number(form: str) -> Callable[[_Instructions], Any]:
    packed = struct.Struct(form)
    return lambda reader: packed.unpack(reader.take(packed.size))[0]


def _bytes(form: str) -> Callable[[_Instructions], bytes]:
    length = _number(form)
    return lambda reader: reader.take(length(reader))


def _text(form: str) -> Callable[[_Instructions], str]:
    data = _bytes(form)
    return lambda reader: data(reader).decode("utf-8", "replace")


def _long(form: str) -> Callable[[_Instructions], int]:
    data = _bytes(form)
    return lambda reader: int.from_bytes(data(reader), "little", signed=True)


def _class_lines(reader: _Instructions) -> tuple[str, str]:
    return reader.line(), reader.line()


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise UnreadFileError("its pickle takes a value that is not there")
        return self.stack.pop()

    def drop(self) -> None:
        """As pop, and of a mark, too."""
        if not self.stack:
            raise UnreadFileError("its pickle takes a value that is not there")
        self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is _MARK:
                found = self.stack[place + 1 :]
                del self.stack[place:]
                return found
        raise UnreadFileError("its pickle takes values up to a mark that is not there")

    def pop_some(self, count: int) -> tuple[Any, ...]:
        return tuple(reversed([self.pop() for _ in range(count)]))

    def top(self) -> Any:
        value = self.pop()
        self.stack.append(value)
        return value

    def container(self) -> Held:
        """The top one, to put something into."""
        found = self.top()
        if not isinstance(found, Held):
            raise UnreadFileError("its pickle puts something into what is no container")
        return found


def _constant(value: Any) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.push(value)


def _container(machine: _Machine, _: Any) -> None:
    machine.push(Held())


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.push(machine.pop_some(count))


def _tuple(machine: _Machine, _: Any) -> None:
    machine.push(tuple(machine.pop_to_mark()))


def _frozen_set(machine: _Machine, _: Any) -> None:
    found = Held()
    found.put(machine.pop_to_mark())
    machine.push(found)


def _append(machine: _Machine, _: Any) -> None:
    value = machine.pop()
    machine.container().put((value,))


def _append_all(machine: _Machine, _: Any) -> None:
    values = machine.pop_to_mark()
    machine.container().put(values)


def _set_item(machine: _Machine, _: Any) -> None:
    key, value = machine.pop_some(2)
    machine.container().put_pairs(((key, value),))


def _set_items(machine: _Machine, _: Any) -> None:
    values = machine.pop_to_mark()
    if len(values) % 2:
        raise UnreadFileError("its pickle has a key without a value")
    machine.container().put_pairs(zip(values[::2], values[1::2], strict=True))


def _put(machine: _Machine, number: Any) -> None:
    machine.memo[number] = machine.top()


def _memoize(machine: _Machine, _: Any) -> None:
    machine.memo[len(machine.memo)] = machine.top()


def _get(machine: _Machine, number: Any) -> None:
    if number not in machine.memo:
        raise UnreadFileError("its pickle recalls a value that it has not kept")
    machine.push(machine.memo[number])


def _global(machine: _Machine, argument: Any) -> None:
    machine.push(_class_name(*argument))


def _stack_global(machine: _Machine, _: Any) -> None:
    module, name = machine.pop_some(2)
    machine.push(_class_name(module, name))


def _class_name(module: Any, name: Any) -> ClassName:
    if not (isinstance(module, str) and isinstance(name, str)):
        raise UnreadFileError("its pickle has a class whose name is no text")
    if len(module) > LONGEST_NAME or len(name) > LONGEST_NAME:
        raise UnreadFileError(f"its pickle has a class whose name is longer than {LONGEST_NAME} characters")
    return ClassName(module, name)


def _call(machine: _Machine, _: Any) -> None:
    """REDUCE and NEWOBJ: what would be called, and with what."""
    called, args = machine.pop_some(2)
    machine.push(Held(called, args))


def _call_with_names(machine: _Machine, _: Any) -> None:
    called, args, named = machine.pop_some(3)
    machine.push(Held(called, (args, named)))


def _build(machine: _Machine, _: Any) -> None:
    state = machine.pop()
    machine.container().state = state


def _stored(machine: _Machine, _: Any) -> None:
    machine.push(StoredPart(machine.pop()))


def _drop_to_mark(machine: _Machine, _: Any) -> None:
    machine.pop_to_mark()


def _nothing(_machine: _Machine, _: Any) -> None:
    """PROTO and FRAME say nothing of the value."""


_Act = Callable[[_Machine, Any], None]
_BYTE, _FOUR, _EIGHT = "<B", "<I", "<Q"
_STOP = b"."

# What pickle's protocols 2 to 5 write: pickletools.py of Python 3.11 has each. The text of protocols 0 and 1
# is not among it: torch.save never wrote it into a zip.
_INSTRUCTIONS: dict[bytes, tuple[Callable[[_Instructions], Any] | None, _Act]] = {
    b"\x80": (_number(_BYTE), _nothing),  # PROTO
    b"\x95": (_number(_EIGHT), _nothing),  # FRAME
    b"J": (_number("<i"), _Machine.push),  # BININT
    b"K": (_number(_BYTE), _Machine.push),
    b"M": (_number("<H"), _Machine.push),
    b"\x8a": (_long(_BYTE), _Machine.push),  # LONG1
    b"\x8b": (_long(_FOUR), _Machine.push),
    b"G": (_number(">d"), _Machine.push),  # BINFLOAT
    b"\x8c": (_text(_BYTE), _Machine.push),  # SHORT_BINUNICODE
    b"X": (_text(_FOUR), _Machine.push),
    b"\x8d": (_text(_EIGHT), _Machine.push),
    b"C": (_bytes(_BYTE), _Machine.push),  # SHORT_BINBYTES
    b"B": (_bytes(_FOUR), _Machine.push),
    b"\x8e": (_bytes(_EIGHT), _Machine.push),
    b"\x96": (_bytes(_EIGHT), _Machine.push),  # BYTEARRAY8
    b"N": (None, _constant(None)),
    b"\x88": (None, _constant(True)),
    b"\x89": (None, _constant(False)),
    b"(": (None, _constant(_MARK)),
    **dict.fromkeys((b"}", b"]", b"\x8f"), (None, _container)),  # of a dict, a list, a set
    b")": (None, _tuple_of(0)),
    b"\x85": (None, _tuple_of(1)),
    b"\x86": (None, _tuple_of(2)),
    b"\x87": (None, _tuple_of(3)),
    b"t": (None, _tuple),
    b"\x91": (None, _frozen_set),
    b"a": (None, _append),
    **dict.fromkeys((b"e", b"\x90"), (None, _append_all)),  # APPENDS, ADDITEMS
    b"s": (None, _set_item),
    b"u": (None, _set_items),
    b"q": (_number(_BYTE), _put),  # BINPUT
    b"r": (_number(_FOUR), _put),
    b"\x94": (None, _memoize),
    b"h": (_number(_BYTE), _get),  # BINGET
    b"j": (_number(_FOUR), _get),
    b"c": (_class_lines, _global),
    b"\x93": (None, _stack_global),
    **dict.fromkeys((b"R", b"\x81"), (None, _call)),  # REDUCE, NEWOBJ
    b"\x92": (None, _call_with_names),
    b"b": (None, _build),
    b"Q": (None, _stored),  # BINPERSID
    b"0": (None, lambda machine, _: machine.drop()),
    b"1": (None, _drop_to_mark),
}
