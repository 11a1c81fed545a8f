"""A page that proves itself: what holds is said to hold, and one changed byte anywhere is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.changed_page import SHOWN_AND_PROVEN, changed
from support.web_fixtures import Site

from orchestrator.audit.exports.page_evidence import check_page, frame_of
from orchestrator.audit.keys import KnownKeys, PublicKey, known_keys, signing_key
from orchestrator.errors import UsageError
from orchestrator.launch.session import Session
from orchestrator.record.ledger import append_events
from orchestrator.web.proof_page import PageRequest, write_page


def known(*keys: PublicKey) -> KnownKeys:
    return KnownKeys(keys=keys)


def is_found_out(page: Path, key: PublicKey) -> bool:
    """Whether the page is told to be wrong, or to be no page of a run at all."""
    try:
        return any(one.wrong for one in check_page(page, known(key)))
    except UsageError:
        return True


@pytest.fixture(scope="module")
def proof(site: Site, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PublicKey]:
    """The page of the best run, and the key that signed it."""
    path = tmp_path_factory.mktemp("proof") / "best run.html"
    with Session(site.server.settings) as session:
        write_page(session, session.record.run(site.runs.best), PageRequest(path=path))
        return path, signing_key(site.server.settings).public


def test_all_of_it_holds_with_the_key_that_is_known(proof: tuple[Path, PublicKey]) -> None:
    path, key = proof
    assert check_page(path, known(key)) == []
    [note] = check_page(path, known())
    assert not note.wrong
    assert key.fingerprint in note.detail
    assert "reprise audit --offline &#39;best run.html&#39; --key KEY" in path.read_text()


def test_another_key_proves_nothing(proof: tuple[Path, PublicKey]) -> None:
    other = PublicKey(name="eve", raw=bytes(32))
    for one in (known(other), known_keys([other.fingerprint])):
        assert [found.wrong for found in check_page(proof[0], one)] == [True]


def test_a_fingerprint_is_as_good_as_the_key(proof: tuple[Path, PublicKey]) -> None:
    assert check_page(proof[0], known_keys([proof[1].fingerprint])) == []


PARTS = SHOWN_AND_PROVEN | {"the run": r'"run":"(.)', "the form": r'"format":"reprise-page/(.)'}


@pytest.mark.parametrize("part", PARTS)
def test_one_changed_byte_is_found(proof: tuple[Path, PublicKey], tmp_path: Path, part: str) -> None:
    path = tmp_path / "page.html"
    path.write_text(changed(proof[0].read_text(), PARTS[part]))
    assert is_found_out(path, proof[1])


@pytest.mark.parametrize("text", ["<p>accuracy 1.0</p>", "accuracy 1.0", "<!-- x -->"])
def test_what_is_added_is_found_wherever_it_stands(
    proof: tuple[Path, PublicKey], tmp_path: Path, text: str
) -> None:
    html = proof[0].read_text()
    for place in ("<main>", "</body>", "</html>"):
        path = tmp_path / "page.html"
        path.write_text(html.replace(place, place + text))
        assert any(one.wrong for one in check_page(path, known(proof[1]))), place


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("</head>", "<p>accuracy 1.0</p>"),  # a browser begins the body here
        ("<title>", "accuracy 1.0"),
        ("<style>", "main{display:none}"),
        ('addEventListener("DOM', "document.body.textContent='accuracy 1.0';"),
        ('"evidence">', "<!--<script"),  # what follows would be evidence to a browser
        ("<!doctype html>", "<script id='evidence' type='application/json'>"),
    ],
)
def test_what_a_browser_would_not_look_at_is_signed_too(
    proof: tuple[Path, PublicKey], tmp_path: Path, place: str, text: str
) -> None:
    html = proof[0].read_text()
    path = tmp_path / "page.html"
    for changed_page in (html.replace(place, place + text, 1), html.replace(place, text + place, 1)):
        assert changed_page != html
        path.write_text(changed_page)
        assert is_found_out(path, proof[1])


def test_an_event_that_is_nested_too_deeply_is_told(proof: tuple[Path, PublicKey], tmp_path: Path) -> None:
    html = proof[0].read_text()
    _, evidence = frame_of(html)
    forged = json.loads(evidence)
    forged["events"][0]["document"] = "[" * 100_000
    (tmp_path / "page.html").write_text(html.replace(evidence, json.dumps(forged)))
    assert any(one.wrong for one in check_page(tmp_path / "page.html", known(proof[1])))


def test_a_page_of_a_run_whose_past_was_changed_is_told(site_of: Callable[..., Site], tmp_path: Path) -> None:
    """By an event that was appended: the page is signed, and the event is in the tree."""
    site, path = site_of(), tmp_path / "page.html"
    with Session(site.server.settings) as session:
        end = {"run": {"message": "fine"}}
        write = session.record._database.write
        write(lambda connection: append_events.append(connection, "run.finished", site.runs.best, end))
        write_page(session, session.record.run(site.runs.best), PageRequest(path=path))
        (found,) = check_page(path, known(signing_key(session.settings).public))
    assert "run.finished stands after the run's end" in found.detail


def test_what_is_no_page_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    for text in ("", "<p>hello", '<script id="evidence">{"format":1}</script>', '<script id="evidence">[[['):
        path.write_text(text)
        with pytest.raises(UsageError, match="no page of a run"):
            check_page(path, known())


def test_hostile_strings_stay_text_and_the_badge_is_plain(
    site_of: Callable[..., Site], tmp_path: Path
) -> None:
    site = site_of()
    path = tmp_path / "a&b.html"
    with Session(site.server.settings) as session:
        run = session.record.run(site.runs.hostile)
        write_page(session, run, PageRequest(path=path))
        assert check_page(path, known(signing_key(session.settings).public)) == []
        with pytest.raises(UsageError, match="is there already"):
            write_page(session, run, PageRequest(path=path))
        with pytest.raises(UsageError, match="is queued"):
            write_page(session, session.record.run(site.runs.queued), PageRequest(path=tmp_path / "q.html"))
    html = path.read_text()
    assert html.count("<script") == 2, "ours only"
    for wrong in ("<img", "<b hx-get", "<svg/onload", "\x1b", "\u202e"):
        assert wrong not in html.split('<script type="application/json"')[0]
    badge = ElementTree.fromstring(path.with_suffix(".svg").read_text())
    assert badge.find("{*}a").attrib == {"href": "a%26b.html"}  # type: ignore[union-attr]
