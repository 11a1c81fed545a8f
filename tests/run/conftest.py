from __future__ import annotations

import pytest
from support.made_up_attempt import MemorySink


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()
