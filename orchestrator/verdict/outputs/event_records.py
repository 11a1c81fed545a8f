"""Brings event records that mean the same into one form, without clocks and without the order of maps.

A protobuf map has no order, and the Python writers shuffle it by the address at which the library was loaded:
the attributes of a graph's nodes (`add_graph`) and the hyperparameters (`add_hparams`) stood in another order
in each of 3 processes (tensorboard 2.21 and tensorboardX 2.6 over protobuf 7.36, one hash seed). The
hyperparameter plugin has fields for the times of start and end, too. Everything else stays bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.run.metrics.event_files import EventRecord, fields, one_number, raw_value

_MESSAGE, _FIXED32, _FIXED64 = 2, 5, 1  # wire types
_MAP, _CLOCK, _PLUGIN, _SCALAR = "map", "clock", "plugin", "scalar"

Shape = Mapping[int, Any]  # field number -> what it is: one of the words, or the shape of the message in it

_GRAPH: Shape = {1: {5: _MAP}}  # GraphDef.node.attr
_HPARAMS: Shape = {
    2: {4: _CLOCK},  # experiment.time_created_secs
    3: {1: _MAP, 5: _CLOCK},  # session_start_info.hparams, start_time_secs
    4: {2: _CLOCK},  # session_end_info.end_time_secs
}
_VALUE: Shape = {9: {1: _PLUGIN}}  # Summary.Value.metadata.plugin_data
_EVENT: Shape = {4: _GRAPH, 5: {1: _VALUE}}
_EVENT_BUT_SCALARS: Shape = {4: _GRAPH, 5: {1: {**_VALUE, 2: _SCALAR, 8: _SCALAR}}}


def settled(event: EventRecord, *, scalars: bool = True) -> object:
    """A value that is equal for two events that mean the same. Without `scalars`, their scalars may differ.

    Raises EventFileError where a message in it cannot be read.
    """
    shape = _EVENT if scalars else _EVENT_BUT_SCALARS
    return tuple((number, _field(number, raw, shape)) for number, raw in event.payload)


def _message(data: bytes, shape: Shape) -> object:
    plain: list[tuple[int, object]] = []
    maps: dict[int, list[bytes]] = {}
    for number, kind, raw, _ in fields(data):
        rule = shape.get(number)
        if rule == _CLOCK and kind == _FIXED64:
            continue
        if rule == _MAP and kind == _MESSAGE:
            maps.setdefault(number, []).append(raw)
        else:
            plain.append((number, _field(number, raw, shape)))
    return tuple(plain), tuple((number, _ordered(maps[number])) for number in sorted(maps))


def _field(number: int, raw: bytes, shape: Shape) -> object:
    rule = shape.get(number)
    if rule == _SCALAR and (raw[0] == _FIXED32 or one_number(raw_value(raw)) is not None):
        return _SCALAR
    if raw[0] != _MESSAGE or rule is None or (isinstance(rule, str) and rule != _PLUGIN):
        return raw
    inner = raw_value(raw)
    return _message(inner, _plugin(inner) if rule == _PLUGIN else rule)


def _plugin(data: bytes) -> Shape:
    """The shape of a plugin's own message: known for hyperparameters only."""
    names = [raw_value(raw) for number, _, raw, _ in fields(data) if number == 1]
    return {2: _HPARAMS} if names == [b"hparams"] else {}


def _ordered(entries: list[bytes]) -> tuple[bytes, ...]:
    """Sorted, except where a key occurs twice: then its last entry counts, so the order matters."""
    keys = {tuple(raw for number, _, raw, _ in fields(raw_value(entry)) if number == 1) for entry in entries}
    return tuple(sorted(entries) if len(keys) == len(entries) else entries)
