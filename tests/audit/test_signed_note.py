"""Signed notes: what is signed, and what is none."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from orchestrator.audit.heads.signed_note import (
    add_signature,
    parse_head,
    sign_head,
    split_notes,
    verify_head,
)
from orchestrator.audit.keys import SigningKey, parse_public, signing_key
from orchestrator.errors import UsageError
from orchestrator.settings import load

ROOT = bytes(range(32))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return signing_key(load({"REPRISE_HOME": str(tmp_path_factory.mktemp("one"))}))


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return signing_key(load({"REPRISE_HOME": str(tmp_path_factory.mktemp("two"))}))


def test_a_signature_of_others_is_read() -> None:
    """From the tests of Go's checksum database, package sumdb/note."""
    key = parse_public("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    signed = base64.b64decode(
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    )
    assert signed[:4] == key.key_id
    assert key.verify(text.encode(), signed[4:])


def test_what_is_signed_comes_back(key: SigningKey, witness: SigningKey) -> None:
    note = add_signature(sign_head("reprise/0f", 17, ROOT, key), witness)
    lines = note.split("\n")
    assert lines[:4] == ["reprise/0f", "17", base64.b64encode(ROOT).decode(), ""]
    read = parse_head(note)
    assert (read.origin, read.size, read.root) == ("reprise/0f", 17, ROOT)
    assert verify_head(read, [key.public]) == [key.public]
    assert verify_head(read, [witness.public, key.public]) == [key.public, witness.public]
    assert verify_head(read, []) == []


def test_no_character_can_be_changed(key: SigningKey) -> None:
    note = sign_head("reprise/0f", 17, ROOT, key)
    for place, character in enumerate(note):
        for other in {"A", "B", chr(ord(character) + 1)} - {character}:
            try:
                read = parse_head(note[:place] + other + note[place + 1 :])
                good = verify_head(read, [key.public])
            except UsageError:
                continue
            assert good == [], f"character {place}"


@given(some.text(max_size=200))
def test_other_texts_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="not a tree head"):
        parse_head(text)


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note.replace("\n17\n", "\n017\n"),
        lambda note: note.replace("\n17\n", "\n-1\n"),
        lambda note: note.replace("\n17\n", "\n1e3\n"),
        lambda note: note.replace("\n", "\r\n"),
        lambda note: note.removesuffix("\n"),
        lambda note: note + "more\n",
        lambda note: note.replace("\n\n", "\n"),
        lambda note: note + "x" * (1 << 17) + "\n",
    ],
)
def test_forms_that_are_refused(key: SigningKey, change: object) -> None:
    assert callable(change)
    with pytest.raises(UsageError, match="not a tree head"):
        parse_head(change(sign_head("reprise/0f", 17, ROOT, key)))


def test_a_file_of_several(key: SigningKey, witness: SigningKey, tmp_path: Path) -> None:
    notes = [sign_head("reprise/0f", size, ROOT, key) for size in (1, 2, 3)]
    notes[1] = add_signature(notes[1], witness)
    assert split_notes("".join(notes)) == notes
    assert split_notes("\n".join(notes)) == notes
    assert split_notes("") == []
