"""What every engine tells of a container that somebody else ends: `make engines`."""

from __future__ import annotations

import pytest
from integration.test_second_engine import (  # noqa: F401
    box,
    test_a_container_that_is_stopped_by_hand_is_lost_whatever_its_exit_code,
    test_a_kill_is_seen_whatever_our_clock_says,
)

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def on_this_engine(engine_name: str) -> str:
    return engine_name
