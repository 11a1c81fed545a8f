"""The signing key's file, and keys as text."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest

from orchestrator.audit.keys import key_path, parse_public, read_public, signing_key
from orchestrator.errors import UsageError
from orchestrator.settings import Settings, load

# From the tests of Go's checksum database, package sumdb/note.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"REPRISE_HOME": str(tmp_path / "home")})


def test_a_key_is_made_once_and_only_its_owner_can_read_it(settings: Settings) -> None:
    first, second = signing_key(settings), signing_key(settings)
    assert first.public == second.public
    assert stat.S_IMODE(key_path(settings).stat().st_mode) == 0o600
    assert stat.S_IMODE(key_path(settings).parent.stat().st_mode) == 0o700
    assert first.public.verify(b"x", second.sign(b"x"))
    assert not first.public.verify(b"y", second.sign(b"x"))


def _public(home: str) -> str:
    return signing_key(load({"REPRISE_HOME": home})).public.vkey


def test_processes_that_come_at_once_have_one_key(settings: Settings) -> None:
    with multiprocessing.get_context("fork").Pool(8) as pool:
        assert len(set(pool.map(_public, [str(settings.home)] * 16))) == 1
    assert [path.name for path in key_path(settings).parent.iterdir()] == ["signing.pem"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_that_others_can_read_is_refused(settings: Settings, mode: int) -> None:
    signing_key(settings)
    key_path(settings).chmod(mode)
    with pytest.raises(UsageError, match="can be read by others"):
        signing_key(settings)


@pytest.mark.parametrize("data", [b"", b"name: x\n", b"name: \nno key", b"\xff\xfe"])
def test_a_damaged_key_is_an_error(settings: Settings, data: bytes) -> None:
    signing_key(settings)
    key_path(settings).write_bytes(data)
    with pytest.raises(UsageError, match="cannot be read"):
        signing_key(settings)


def test_a_public_key_is_one_line_of_text(settings: Settings, tmp_path: Path) -> None:
    key = signing_key(settings).public
    assert parse_public(key.vkey) == key
    assert parse_public(PETER).name == "PeterNeumann"
    (tmp_path / "keys").write_text(f"# the team\n\n{PETER}\n{key.vkey}\n")
    assert read_public(str(tmp_path / "keys")) == [parse_public(PETER), key]
    assert read_public(PETER) == [parse_public(PETER)]


@pytest.mark.parametrize("place", range(len(PETER)))
def test_any_other_character_makes_it_none(place: int) -> None:
    other = "A" if PETER[place] != "A" else "B"
    with pytest.raises(UsageError, match="no public key"):
        parse_public(PETER[:place] + other + PETER[place + 1 :])
