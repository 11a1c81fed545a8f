"""What the payload reports of each process: files in a folder that a job can write to as it likes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.run.collect.reports import read_reports


def test_reports_as_the_runtime_writes_them(tmp_path: Path) -> None:
    (tmp_path / "entry.json").write_text('{"packages": {"torch": "2.13.0"}, "source": {"a.py": "00"}}')
    (tmp_path / "start-7.json").write_text(
        '{"pid": 7, "argv": ["python", "a.py"], "flags": {"x": true, "n": 1}}'
    )
    (tmp_path / "end-7.json").write_text(
        '{"pid": 7, "argv": ["python", "a.py"], "flags": {"x": false, "n": 1}}'
    )
    (tmp_path / "start-8.json").write_text('{"pid": 8, "argv": ["python"], "flags": {}}')
    (tmp_path / "error-9.json").write_text('{"error": "Traceback\\nValueError: no"}')
    (tmp_path / "start-../evil.json").parent.mkdir()
    reports = read_reports(tmp_path)
    assert reports.packages == {"torch": "2.13.0"}
    assert reports.source == {"a.py": "00"}
    assert [readback.pid for readback in reports.readbacks] == [7, 8]
    assert reports.readbacks[0].changed == {"x": (True, False)}
    assert reports.readbacks[1].end is None
    assert reports.notes == ("the runtime failed in process 9: ValueError: no",)
    assert not reports.missing
    assert read_reports(tmp_path / "start-..").missing


def test_a_link_in_place_of_a_report_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{"packages": {"secret": "1"}}')
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "entry.json").symlink_to(tmp_path / "host.json")
    reports = read_reports(folder)
    assert reports.packages == {}
    assert reports.notes


def test_text_that_utf8_has_no_bytes_for_is_kept_as_an_escape(tmp_path: Path) -> None:
    (tmp_path / "entry.json").write_text('{"packages": {"a\\ud800": "\\udcff"}, "source": {"x": "\\u0000"}}')
    (tmp_path / "start-7.json").write_text('{"argv": ["\\udcff"], "flags": {"x\\ud800": "\\ud800"}}')
    reports = read_reports(tmp_path)
    assert reports.packages == {"a\\ud800": "\\udcff"}
    assert reports.source == {"x": "\\x00"}
    (readback,) = reports.readbacks
    assert (readback.argv, readback.start) == (("\\udcff",), {"x\\ud800": "\\ud800"})
    reports.model_dump_json().encode("utf-8")


def test_reports_that_are_too_much_together_are_read_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.run.collect.reports.MAX_TOTAL", 120)
    for pid in range(1, 5):
        (tmp_path / f"start-{pid}.json").write_text(json.dumps({"argv": ["x" * 25], "flags": {}}))
    reports = read_reports(tmp_path)
    assert [readback.pid for readback in reports.readbacks] == [1, 2]
    assert any("120 bytes" in note for note in reports.notes)


def write(folder: Path, kind: str, pid: int, value: int) -> None:
    (folder / f"{kind}-{pid}.json").write_text(json.dumps({"argv": ["python"], "flags": {"threads": value}}))


def test_a_killed_process_ends_with_what_it_last_wrote(tmp_path: Path) -> None:
    """What a process read back while it trained stands for its end only where it left none."""
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
