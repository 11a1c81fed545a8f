"""The payload: frozen files under a number, held to the room `payload` in which they are written."""

from __future__ import annotations

import ast
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.altered import flipped
from support.programs import load_program

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.image import payload_releases as room
from orchestrator.image.assembly.layers import runtime_layer
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.payload_releases import NEWEST, payload, payload_digest, payload_problem

REPO = Path(__file__).resolve().parents[2]
PLACES = ("/opt/python/lib/python3.11/site-packages", "/usr/lib/python3/dist-packages")

WHAT_TO_DO = f"""
What room `payload` does is no longer what payload {NEWEST} does, and images get that one. If meant:
    python scripts/payload.py          until payload {NEWEST} was released (docs/identity.md)
    python scripts/payload.py --new    from then on: another number, so every digest moves"""


def written() -> Mapping[str, bytes]:
    found: Mapping[str, bytes] = load_program(REPO / "scripts" / "payload.py").written()
    return found


def behaviour(name: str, data: bytes) -> str:
    """What a module does: its tree, without docstrings and other texts that nothing reads."""
    if not name.endswith(".py"):
        return data.decode()
    tree = ast.parse(data)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [one for one in body if not _only_said(one)]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _only_said(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def test_the_newest_payload_does_what_the_room_does() -> None:
    now, frozen = written(), payload()
    assert set(now) == set(frozen), WHAT_TO_DO
    moved = [name for name in now if behaviour(name, now[name]) != behaviour(name, frozen[name])]
    assert moved == [], WHAT_TO_DO


@pytest.mark.parametrize(
    ("edited", "same"),
    [
        ('"""Another text."""\nx = 1  # and a comment\n\n\ndef f():\n    return x\n', True),
        ('x = 1\ndef f():\n    """Said."""\n    return (x)\n', True),
        ("x = 2\ndef f():\n    return x\n", False),
        ('x = 1\ndef f():\n    return "said"\n', False),
        ('x = 1\ndef f():\n    "said".strip()\n    return x\n', False),
    ],
)
def test_words_are_no_behaviour(edited: str, same: bool) -> None:
    plain = behaviour("a.py", b"x = 1\ndef f():\n    return x\n")
    assert (behaviour("a.py", edited.encode()) == plain) is same


def test_every_number_has_its_files_or_its_digest() -> None:
    assert payload_digest(payload(NEWEST)) == room.DIGESTS[NEWEST]
    for number in range(1, NEWEST):
        assert number in room.DIGESTS
    for path in room.FOLDER.iterdir():
        assert payload_digest(payload(int(path.stem))) == room.DIGESTS[int(path.stem)]


def test_what_is_not_used_in_an_image_is_not_in_it() -> None:
    names = {name for name in payload() if name.endswith(".py")}
    assert "compare_torch_files.py" not in names
    used = {"interpreter_start.py", "entry.py"}
    for name in names:
        for node in ast.walk(ast.parse(payload()[name])):
            if isinstance(node, ast.ImportFrom) and node.level:
                folder = PurePosixPath("/" if node.level == 2 else PurePosixPath("/", name).parent)
                module = folder / (node.module or "").replace(".", "/")
                for path in (module, *(module / one.name for one in node.names)):
                    used |= {f"{path}.py"[1:], f"{path.parent}/__init__.py"[1:]} & names
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "sibling":
                used |= {f"{one.value}.py" for one in node.args if isinstance(one, ast.Constant)}
    assert names == used


def test_a_payload_that_was_edited_where_it_is_installed_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = (room.FOLDER / f"{NEWEST}.json").read_text()
    monkeypatch.setattr(room, "FOLDER", tmp_path)
    for broken in (text.replace("import", "import ", 1), "[]", "{", ""):
        (tmp_path / f"{NEWEST}.json").write_text(broken)
        payload.cache_clear()
        with pytest.raises(UsageError, match="payload"):
            payload()
    payload.cache_clear()


# The layer of an image


def layer(
    layout: ImageLayout, python: PythonFacts, files: Mapping[str, bytes], place: str = PLACES[0]
) -> Path:
    made = runtime_layer(layout, python.model_copy(update={"purelib": place}), files)
    assert made.path is not None
    return made.path


@pytest.mark.parametrize("place", PLACES)
def test_a_layer_is_known_wherever_the_base_has_its_packages(
    layout: ImageLayout, python: PythonFacts, place: str
) -> None:
    path = layer(layout, python, payload(), place)
    assert payload_problem(path, NEWEST) is None
    assert payload_problem(path, NEWEST + 1) == f"its files are not those of payload {NEWEST + 1}"


def test_an_earlier_payload_is_known_by_its_digest(
    monkeypatch: pytest.MonkeyPatch, layout: ImageLayout, python: PythonFacts
) -> None:
    files = {"entry.py": b"print('earlier')\n", "reprise.pth": b"import earlier\n"}
    path = layer(layout, python, files)
    assert payload_problem(path, NEWEST) is not None
    monkeypatch.setitem(room.DIGESTS, 0, payload_digest(files))
    assert payload_problem(path, 0) is None


def changed(path: Path, target: str, **how: Any) -> bytes:
    """The layer's archive with one member changed, or one more."""
    out = io.BytesIO()
    with tarfile.open(path) as archive, tarfile.open(fileobj=out, mode="w") as into:
        members = [(member, archive.extractfile(member)) for member in archive]
        for member, stream in members:
            data = stream.read() if stream else b""
            if member.name == target:
                data = how.get("data", data)
                member.size = len(data) if member.isreg() else 0
                for key in ("name", "type", "linkname"):
                    setattr(member, key, how.get(key, getattr(member, key)))
            into.addfile(member, io.BytesIO(data))
        if "extra" in how:
            extra = tarfile.TarInfo(how["extra"])
            into.addfile(extra)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("opt/reprise/runtime/entry.py", {"data": b"import os\n"}),
        ("opt/reprise/runtime/entry.py", {"name": "opt/reprise/runtime/other.py"}),
        ("opt/reprise/runtime/entry.py", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
        ("etc/passwd", {"data": b"job:x:0:0:::\n"}),
        ("etc/group", {"name": "etc/shadow"}),
        ("", {"extra": "usr/bin/python"}),
        ("", {"extra": "opt/reprise/runtime/more.py"}),
        ("", {"extra": "etc/ld.so.preload"}),
    ],
)
def test_what_was_put_into_a_payloads_layer_is_found(
    layout: ImageLayout, python: PythonFacts, tmp_path: Path, name: str, how: dict[str, Any]
) -> None:
    path = tmp_path / "layer.tar"
    path.write_bytes(changed(layer(layout, python, payload()), name, **how))
    assert payload_problem(path, NEWEST) is not None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_byte_of_the_layer_can_be_another(
    layout: ImageLayout, python: PythonFacts, tmp_path: Path, data: st.DataObject
) -> None:
    raw = layer(layout, python, payload()).read_bytes()
    place, mask = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(1, 255))
    path = tmp_path / "layer.tar"
    path.write_bytes(flipped(raw, place, mask))
    assert payload_problem(path, NEWEST) is not None


def test_an_archive_that_is_none_is_no_payload(tmp_path: Path) -> None:
    for data in (b"", b"x" * 2000, Digest.of(b"").encode()):
        (tmp_path / "layer.tar").write_bytes(data)
        assert payload_problem(tmp_path / "layer.tar", NEWEST) is not None
    assert payload_problem(tmp_path / "absent", NEWEST) is not None
