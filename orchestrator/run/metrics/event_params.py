"""Hyperparameters in TensorBoard's event files: what `add_hparams` of its writers leaves there.

They are content of the plugin `hparams` in a summary's value (metadata = 9: plugin_data = 1: plugin_name = 1,
content = 2): session_start_info = 3, and in it a map hparams = 1 of name = 1 and google.protobuf.Value = 2
(number_value = 2, string_value = 3, bool_value = 4); see plugin_data.proto of TensorBoard.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from orchestrator.run.metrics.event_files import records, spans
from orchestrator.spec.jobfile.job_spec import Scalar

MAX_RECORDS = 1_000  # that are looked at; `add_hparams` begins a file of its own
_PLUGIN = b"hparams"
_VARINT, _FIXED64, _BYTES = 0, 1, 2  # wire types
_EXACT = 1 << 53  # below it every whole number is a double


def read_hparams(stream: BinaryIO) -> Iterator[tuple[str, Scalar]]:
    """Name and value of each in the first records of an open file. EventFileError where one is damaged.

    Whole numbers are integers again: the file has doubles only.
    """
    for record in islice(records(stream), MAX_RECORDS):
        if _PLUGIN not in record:
            continue
        for plugin in _messages(record, 5, 1, 9, 1):
            if _PLUGIN in _messages(plugin, 1):
                for entry in _messages(plugin, 2, 3, 1):
                    yield from _named(entry)


def _messages(data: bytes, *path: int) -> Iterator[bytes]:
    """The content of each field that these numbers lead to, from message to message."""
    for number, kind, start, end, _ in spans(data, 0, len(data)):
        if number == path[0] and kind == _BYTES:
            inner = data[start:end]
            yield from _messages(inner, *path[1:]) if path[1:] else (inner,)


def _named(entry: bytes) -> Iterator[tuple[str, Scalar]]:
    name = b"".join(_messages(entry, 1)).decode("utf-8", "replace")
    for message in _messages(entry, 2):
        for number, kind, start, end, value in spans(message, 0, len(message)):
            if (number, kind) == (2, _FIXED64):
                (found,) = struct.unpack_from("<d", message, start)
                yield name, int(found) if found.is_integer() and abs(found) < _EXACT else found
            elif (number, kind) == (3, _BYTES):
                yield name, message[start:end].decode("utf-8", "replace")
            elif (number, kind) == (4, _VARINT):
                yield name, bool(value)
