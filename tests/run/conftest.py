from __future__ import annotations

import io
from typing import BinaryIO

import pytest

from orchestrator.digest import Digest


class Kept:
    """A sink that keeps everything in memory."""

    def __init__(self) -> None:
        self.blobs: dict[Digest, bytes] = {}

    def add(self, stream: BinaryIO, size: int) -> Digest:
        data = io.BytesIO(stream.read(size)).getvalue()
        digest = Digest.of(data)
        self.blobs[digest] = data
        return digest


@pytest.fixture
def sink() -> Kept:
    return Kept()
