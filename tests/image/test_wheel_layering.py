from __future__ import annotations

import base64
import hashlib
import os
import stat
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.altered import flip_file
from support.tar_files import content, members

from orchestrator.errors import StoreError, UsageError
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Layer, LayerKind, PythonFacts
from orchestrator.image.wheels import wheel_layering
from orchestrator.image.wheels.fetch_wheels import WheelFile
from orchestrator.image.wheels.wheel_layering import wheel_layers

Built = Callable[..., tuple[Layer, ...]]


@dataclass
class Kit:
    layout: ImageLayout
    python: PythonFacts
    wheel_file: Callable[[Path], WheelFile]

    def build(self, *paths: Path) -> tuple[Layer, ...]:
        return wheel_layers(self.layout, tuple(self.wheel_file(path) for path in paths), self.python)


@pytest.fixture
def kit(layout: ImageLayout, python: PythonFacts, wheel_file: Any) -> Kit:
    return Kit(layout, python, wheel_file)


def test_a_wheel_is_unpacked_with_our_scripts_and_record(kit: Kit, make_wheel: Any) -> None:
    wheel = make_wheel(
        "spam",
        "1.0",
        {
            "spam/__init__.py": b"X = 1\n",
            "spam/__pycache__/x.cpython-311.pyc": b"old",
            "spam-1.0.data/scripts/run": b"#!python\nprint(1)\n",
            "spam-1.0.data/scripts/run.sh": b"#!/bin/sh\n",
            "spam-1.0.data/data/share/spam.txt": b"d",
            "spam-1.0.data/headers/spam.h": b"h",
            "spam-1.0.dist-info/INSTALLER": b"pip\n",
            "spam-1.0.dist-info/direct_url.json": b"{}",
        },
        entry_points="[console_scripts]\nspam = spam.cli:main.run [extra]\n[other]\nx = y:z\n",
    )
    (layer,) = kit.build(wheel)
    assert layer.kind is LayerKind.WHEELS
    found = {name: info.mode for name, info in members(layer).items() if info.isreg()}
    site = "opt/reprise/site"
    assert found == {
        "opt/reprise/bin/run": 0o755,
        "opt/reprise/bin/run.sh": 0o755,
        "opt/reprise/bin/spam": 0o755,
        "opt/reprise/data/share/spam.txt": 0o644,
        "opt/reprise/include/spam.h": 0o644,
        f"{site}/spam-1.0.dist-info/INSTALLER": 0o644,
        f"{site}/spam-1.0.dist-info/METADATA": 0o644,
        f"{site}/spam-1.0.dist-info/RECORD": 0o644,
        f"{site}/spam-1.0.dist-info/WHEEL": 0o644,
        f"{site}/spam-1.0.dist-info/entry_points.txt": 0o644,
        f"{site}/spam/__init__.py": 0o644,
    }
    assert content(layer, "opt/reprise/bin/run") == b"#!/opt/python/bin/python\nprint(1)\n"
    assert content(layer, "opt/reprise/bin/spam") == (
        b"#!/opt/python/bin/python\nimport sys\nfrom spam.cli import main\n"
        b'if __name__ == "__main__":\n    sys.exit(main.run())\n'
    )
    assert content(layer, f"{site}/spam-1.0.dist-info/INSTALLER") == b"reprise\n"
    record = content(layer, f"{site}/spam-1.0.dist-info/RECORD").decode().splitlines()
    assert record == sorted(record)
    assert [line.split(",")[0] for line in record] == sorted(
        os.path.relpath(f"/{name}", f"/{site}") for name in found
    )
    encoded = base64.urlsafe_b64encode(hashlib.sha256(b"X = 1\n").digest()).rstrip(b"=").decode()
    assert f"spam/__init__.py,sha256={encoded},6" in record


def test_layers_do_not_depend_on_the_order_of_the_wheels(kit: Kit, make_wheel: Any) -> None:
    one, two = make_wheel("one"), make_wheel("two")
    assert kit.build(one, two) == kit.build(two, one)


def test_large_wheels_are_layers_of_their_own_first_and_by_name(
    kit: Kit, make_wheel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel_layering, "LARGE", 5000)
    large = {name: make_wheel(name, files={f"{name}.bin": os.urandom(9000)}) for name in ("zeta", "beta")}
    layers = kit.build(large["zeta"], make_wheel("alpha"), large["beta"])
    assert [(layer.kind, layer.title) for layer in layers] == [
        (LayerKind.WHEEL, "beta-1.0-py3-none-any"),
        (LayerKind.WHEEL, "zeta-1.0-py3-none-any"),
        (LayerKind.WHEELS, "1 wheels"),
    ]
    # Another job shares the large one's layer.
    assert kit.build(large["zeta"])[0] == layers[1]


def test_a_known_lock_unpacks_nothing(kit: Kit, make_wheel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = [make_wheel("one"), make_wheel("two")]
    first = kit.build(*wheels)

    def broken(*_: object) -> None:
        raise AssertionError("unpacked again")

    monkeypatch.setattr(wheel_layering, "_make", broken)
    assert kit.build(*wheels) == first


@pytest.mark.parametrize("damage", ["absent", "short", "index"])
def test_a_layer_that_is_gone_or_cut_is_made_again(kit: Kit, make_wheel: Any, damage: str) -> None:
    wheel = make_wheel("one")
    (first,) = kit.build(wheel)
    assert first.path is not None
    if damage == "absent":
        first.path.unlink()
    elif damage == "short":
        first.path.write_bytes(first.path.read_bytes()[:-512])
    else:
        for path in (kit.layout.folder / "index").iterdir():
            path.write_bytes(b"[]")
    assert kit.build(wheel) == (first,)
    assert kit.layout.open(first.digest, verify=True).read()


def test_another_interpreter_is_another_layer(kit: Kit, make_wheel: Any) -> None:
    wheel = make_wheel("one", entry_points="[console_scripts]\none = one:main\n")
    (first,) = kit.build(wheel)
    kit.python = kit.python.model_copy(update={"executable": "/usr/bin/python3"})
    (second,) = kit.build(wheel)
    assert first.digest != second.digest


def test_wheels_may_share_a_file_only_with_the_same_bytes(kit: Kit, make_wheel: Any) -> None:
    one = make_wheel("one", files={"space/__init__.py": b"", "space/one.py": b"1"})
    two = make_wheel("two", files={"space/__init__.py": b"", "space/two.py": b"2"})
    kit.build(one, two)
    three = make_wheel("three", files={"space/__init__.py": b"# other\n"})
    with pytest.raises(UsageError, match=r"one-1.0-py3-none-any.whl and three-1.0.*space/__init__.py"):
        kit.build(one, three)


@pytest.mark.parametrize("files", [{"space/__init__.py": b"other"}, {"space": b"a file"}])
def test_collisions_are_found_across_layers_and_cached_ones(
    kit: Kit, make_wheel: Any, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]
) -> None:
    monkeypatch.setattr(wheel_layering, "LARGE", 5000)
    large = make_wheel("large", files={"space/__init__.py": b"", "large.bin": os.urandom(9000)})
    small = make_wheel("small", files=files)
    kit.build(large)
    kit.build(small)
    for _ in range(2):  # the failure is not taken for a success the second time
        with pytest.raises(UsageError, match="space"):
            kit.build(large, small)


def test_two_wheels_of_one_name_are_refused(kit: Kit, make_wheel: Any) -> None:
    with pytest.raises(UsageError, match="two wheels for spam"):
        kit.build(make_wheel("spam", "1.0"), make_wheel("spam", "2.0"))


def test_a_wheel_that_changed_in_the_cache_is_refused(kit: Kit, make_wheel: Any, wheel_file: Any) -> None:
    wheel = wheel_file(make_wheel("one"))
    wheel.path.write_bytes(make_wheel("one", files={"evil.py": b"1"}).read_bytes() + b" ")
    with pytest.raises(StoreError, match="no longer has its bytes"):
        wheel_layers(kit.layout, (wheel,), kit.python)


def _link(path: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    "member",
    [
        zipfile.ZipInfo("../../source/train.py"),
        zipfile.ZipInfo("/etc/passwd"),
        zipfile.ZipInfo("a/../../b"),
        zipfile.ZipInfo("a/.wh..wh..opq"),
        zipfile.ZipInfo("spam-1.0.data/scripts/../../../etc/x"),
        zipfile.ZipInfo("spam-1.0.data/unknown/x"),
        _link("link"),
    ],
    ids=lambda info: info.filename,
)
def test_hostile_members_are_refused(kit: Kit, make_wheel: Any, member: zipfile.ZipInfo) -> None:
    with pytest.raises(UsageError):
        kit.build(make_wheel("spam", extra=[(member, b"/etc/shadow")]))
    assert not list((kit.layout.folder / "blobs").glob("*/*"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(kit: Kit, make_wheel: Any) -> None:
    with pytest.raises(UsageError, match="there twice"):
        kit.build(make_wheel("spam", extra=[(zipfile.ZipInfo("spam/__init__.py"), b"other")]))


@pytest.mark.parametrize(
    "entry_points",
    ["[console_scripts]\n../../source/x = a:b\n", "[console_scripts]\nx = no colon\n", "not an ini"],
)
def test_hostile_entry_points_are_refused(kit: Kit, make_wheel: Any, entry_points: str) -> None:
    with pytest.raises(UsageError):
        kit.build(make_wheel("spam", entry_points=entry_points))


def test_a_file_that_is_no_wheel_is_refused(kit: Kit, tmp_path: Path) -> None:
    for name, data in (("a-1-py3-none-any.whl", b"no zip"), ("b-1-py3-none-any.whl", b"")):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(UsageError, match="not a usable wheel"):
            kit.build(path)
    empty = tmp_path / "c-1-py3-none-any.whl"
    with zipfile.ZipFile(empty, "w"):
        pass
    with pytest.raises(UsageError, match="not a usable wheel"):
        kit.build(empty)


def test_a_damaged_member_is_refused(kit: Kit, make_wheel: Any) -> None:
    path = make_wheel("spam", files={"spam.bin": os.urandom(4000)})
    flip_file(path, 1000)
    with pytest.raises(UsageError, match="not a usable wheel"):
        kit.build(path)
