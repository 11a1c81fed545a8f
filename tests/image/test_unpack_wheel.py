"""Wheels that are small as files and large when unpacked, and wheels with any byte changed."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from support.altered import with_other_bytes

from orchestrator.digest import Digest
from orchestrator.errors import RepriseError, StoreError, UsageError
from orchestrator.image.wheels import unpack_wheel as module
from orchestrator.image.wheels.fetch_wheels import WheelFile
from orchestrator.image.wheels.unpack_wheel import new_spool, unpack_wheel


def unpacked(path: Path) -> int:
    """Bytes that a wheel put into the spool."""
    wheel = WheelFile(filename=path.name, digest=Digest.of_file(path), size=path.stat().st_size, path=path)
    with new_spool(path.parent) as spool:
        try:
            unpack_wheel(wheel, "/usr/bin/python3", spool)
        finally:
            size = spool.seek(0, io.SEEK_END)
            assert size <= module.MAX_RATIO * wheel.size + module._SMALL
    return size


def test_a_bomb_is_refused_before_a_byte_of_it_is_unpacked(make_wheel: Any) -> None:
    with pytest.raises(UsageError, match="more than 100 times as many") as caught:
        unpacked(make_wheel("bomb", files={"a": bytes(40 << 20), "b": bytes(40 << 20)}))
    assert "bomb-1.0-py3-none-any.whl" in caught.value.message


def test_what_is_packed_well_and_small_is_taken(make_wheel: Any) -> None:
    assert unpacked(make_wheel("table", files={"zeros": bytes(8 << 20)})) > 8 << 20


def test_many_members_are_refused(make_wheel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MEMBERS", 20)
    assert unpacked(make_wheel("few", files={f"f{number}": b"" for number in range(10)}))
    with pytest.raises(UsageError, match="members, more than 20"):
        unpacked(make_wheel("many", files={f"f{number}": b"" for number in range(30)}))
    scripts = "[console_scripts]\n" + "".join(f"s{number} = a:b\n" for number in range(30))
    with pytest.raises(UsageError, match="more than 20 files and scripts"):
        unpacked(make_wheel("scripts", files={"a.py": b""}, entry_points=scripts))


def test_what_is_read_at_once_has_a_limit(make_wheel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="entry_points"):
        unpacked(make_wheel("large", entry_points="#" * (33 << 20)))
    path = make_wheel("list")
    data = path.read_bytes()
    end = data.rindex(b"PK\x05\x06")
    size = struct.pack("<L", 200 << 20)  # a list of members that is far longer than the file's own
    path.write_bytes(bytes(200 << 20) + data[: end + 12] + size + data[end + 16 :])
    tracemalloc.start()
    with pytest.raises(UsageError, match="list of members"):
        unpacked(path)
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()


def test_a_wheel_that_the_disk_has_no_room_for_is_said(
    make_wheel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SPARE", 1 << 62)
    with pytest.raises(StoreError, match="no room"):
        unpacked(make_wheel("spam"))


def test_a_long_script_is_not_read_at_once(make_wheel: Any) -> None:
    script = b"#!pythonw -E\n" + bytes(range(256)) * (1 << 16)
    path = make_wheel(
        "tool", files={"tool-1.0.data/scripts/tool": script, "tool-1.0.data/scripts/e": b"#!python"}
    )
    wheel = WheelFile(filename=path.name, digest=Digest.of_file(path), size=path.stat().st_size, path=path)
    with new_spool(path.parent) as spool:
        found = unpack_wheel(wheel, "/usr/bin/python3", spool)
        assert found["opt/reprise/bin/tool"].sha256 == Digest.of(b"#!/usr/bin/python3\n" + script[13:]).hex
        assert found["opt/reprise/bin/e"].sha256 == Digest.of(b"#!/usr/bin/python3\n").hex


def test_any_changed_byte_is_told_or_does_not_matter(make_wheel: Any, tmp_path: Path) -> None:
    whole = make_wheel("spam", entry_points="[console_scripts]\nspam = spam:main\n").read_bytes()
    path = tmp_path / "spam-1.0-py3-none-any.whl"

    @given(with_other_bytes(whole, 4))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        try:
            unpacked(path)
        except RepriseError as error:
            assert "\n" not in error.message

    check()


def test_a_member_that_lies_about_its_length_gives_no_more_than_it_says(make_wheel: Any) -> None:
    path = make_wheel("liar", files={"big": bytes(80 << 20)})
    data = path.read_bytes()
    small = data.replace(struct.pack("<L", 80 << 20), struct.pack("<L", 1000))
    path.write_bytes(small)
    with zipfile.ZipFile(path) as archive:
        assert archive.getinfo("big").file_size == 1000
    with pytest.raises(UsageError, match="CRC"):
        unpacked(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_wheel_packed_otherwise_and_damaged_is_a_usage_error(tmp_path: Path, method: int) -> None:
    path = tmp_path / "odd-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("odd.py", bytes(range(256)) * 40)
        archive.writestr("odd-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr("odd-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
        archive.writestr("odd-1.0.dist-info/RECORD", "odd.py,,\n")
    data = path.read_bytes()
    for at in range(30, 120):  # the first member's bytes
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        try:
            unpacked(path)
        except UsageError:
            continue


def test_a_record_with_a_field_that_csv_refuses_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "long-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("long-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr("long-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: long\nVersion: 1.0\n")
        archive.writestr("long-1.0.dist-info/RECORD", "x" * 200_000 + ",,\n")
    with pytest.raises(UsageError, match="not a usable wheel"):
        unpacked(path)
