"""What a process read back while it trained stands for its end only where it left none."""

from __future__ import annotations

import json
from pathlib import Path

from orchestrator.run.collect.reports import read_reports


def write(folder: Path, kind: str, pid: int, value: int) -> None:
    (folder / f"{kind}-{pid}.json").write_text(json.dumps({"argv": ["python"], "flags": {"threads": value}}))


def test_a_killed_process_ends_with_what_it_last_wrote(tmp_path: Path) -> None:
    write(tmp_path, "start", 7, 1)
    write(tmp_path, "now", 7, 2)
    write(tmp_path, "start", 8, 1)
    write(tmp_path, "now", 8, 2)
    write(tmp_path, "end", 8, 3)
    write(tmp_path, "start", 9, 1)
    killed, ended, silent = read_reports(tmp_path).readbacks
    assert killed.changed == {"threads": (1, 2)}
    assert ended.changed == {"threads": (1, 3)}
    assert silent.end is None
