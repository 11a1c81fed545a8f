"""Which mapped libraries came from outside the image: a table over the text of /proc."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.payload.determinism import mapped_libraries

MAPS = """\
7f00-7f01 r-xp 00000000 fe:00 12 /usr/lib/x86_64-linux-gnu/libc.so.6
7f02-7f03 r-xp 00000000 fe:00 13 /usr/lib/x86_64-linux-gnu/libcuda.so.580.65
7f02-7f03 rw-p 00000000 fe:00 13 /usr/lib/x86_64-linux-gnu/libcuda.so.580.65
7f04-7f05 r-xp 00000000 fe:00 14 /tmp/triton/kernel.so
7f06-7f07 r-xp 00000000 fe:00 15 /workspace/build/mine.so
7f08-7f09 r-xp 00000000 fe:00 16 /opt/driver/lib/libnvidia ptx.so.1
7f0a-7f0b rw-p 00000000 00:00 0
7f0c-7f0d r--p 00000000 fe:00 17 /usr/share/some.data
7ffc-7ffd rw-p 00000000 00:00 0 [stack]
"""
MOUNTS = """\
100 99 0:50 / / ro,relatime - overlay overlay rw
101 100 0:51 / /tmp rw - tmpfs tmpfs rw
102 100 8:1 /attempts/x/workspace /workspace rw - ext4 /dev/sda1 rw
103 100 8:1 /usr/lib/libcuda.so.580.65 /usr/lib/x86_64-linux-gnu/libcuda.so.580.65 ro - ext4 /dev/sda1 rw
104 100 8:1 /driver /opt/driver ro - ext4 /dev/sda1 rw
"""


def test_only_what_came_by_a_foreign_mount() -> None:
    assert mapped_libraries.from_outside(MAPS, MOUNTS) == [
        "/opt/driver/lib/libnvidia ptx.so.1",
        "/usr/lib/x86_64-linux-gnu/libcuda.so.580.65",
    ]


@pytest.mark.parametrize(
    ("path", "point"),
    [("/a/b/c.so", "/a/b"), ("/a/bc.so", "/a"), ("/x.so", "/"), ("/a/b", "/a/b")],
)
def test_mount_points_are_whole_names(path: str, point: str) -> None:
    assert mapped_libraries.mount_of(path, ["/", "/a", "/a/b"]) == point


def test_hashing_stops_when_its_time_is_spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped_libraries, "_hashed", {})
    monkeypatch.setattr(mapped_libraries, "_spent", 0.0)
    (tmp_path / "a.so").write_bytes(b"a")
    (tmp_path / "b.so").write_bytes(b"b")
    known = mapped_libraries._hash(str(tmp_path / "a.so"))
    assert known == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    monkeypatch.setattr(mapped_libraries, "_spent", mapped_libraries.MAX_SECONDS + 1)
    assert mapped_libraries._hash(str(tmp_path / "b.so")) == "not hashed: no time left"
    assert mapped_libraries._hash(str(tmp_path / "a.so")) == known
    monkeypatch.setattr(mapped_libraries, "_spent", 0.0)
    assert mapped_libraries._hash(str(tmp_path / "gone.so")) == "not hashed: No such file or directory"
