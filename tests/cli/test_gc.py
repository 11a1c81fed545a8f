"""gc: what it would remove, what it removed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.launch.session import Session

Call = Callable[..., Any]


def test_a_dry_run_says_what_would_go_and_then_it_goes(reprise: Call, home: Path) -> None:
    with Session.open() as session:
        old, young = (session.store.put_bytes(data) for data in (b"x" * 2000, b"young"))
    path = home / "store" / "sha256" / old.hex[:2] / old.hex
    os.utime(path, (0, 0))
    (path.parent / "stray\x1b[31m").write_text("mine")

    planned = reprise("store", "gc", "--dry-run")
    assert planned.code == 0
    assert planned.out.splitlines()[:2] == [
        "would remove 1 of 3 blobs, 2.0 KiB",
        "1 blob younger than 1 d 00 h left alone",
    ]
    assert "not a blob, left alone:" in planned.out
    assert "\x1b" not in planned.out
    assert path.exists()

    done = json.loads(reprise("store", "gc", "--json").out)
    assert (done["removed"], done["bytes"], done["dry_run"]) == (1, 2000, False)
    assert len(done["events"]) == 1
    assert not path.exists()
    assert reprise("store", "gc", "--older-than", "0s").out.startswith("removed 1 of 2 blobs, 5 B")
    with Session.open() as session:
        assert not session.store.has(young)


def test_a_time_that_is_none(reprise: Call) -> None:
    ran = reprise("store", "gc", "--older-than", "soon")
    assert ran.code == 2
    assert "soon" in ran.err
