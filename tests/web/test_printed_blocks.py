"""What views hold is printed as text, whatever it is."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import finish_run, kept, new_run
from support.secret_lookups import SECRET, count_lookups
from support.seeded_record import HOSTILE
from support.web_fixtures import Site

from orchestrator.record.record import Record
from orchestrator.view.forms.page import Fields, Patch, Table, Text, Tree
from orchestrator.web.answers import templates
from orchestrator.web.printed_blocks import printed

ELEMENTS = {
    *("p", "dl", "div", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td"),
    *("ul", "li", "strong", "span", "a", "pre"),
}
ALLOWED = {"class", "tabindex", "role", "aria-label", "scope", "href"}


class Elements(HTMLParser):
    """What a browser would make of it: elements with their attributes, and texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def html_of(*blocks: object) -> str:
    template = templates().from_string('{% import "blocks.html" as b with context %}{{ b.page(blocks) }}')
    return template.render(blocks=blocks, link=lambda path: path)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])) | st.sampled_from(HOSTILE))
def test_no_text_becomes_an_element_or_an_attribute(text: str) -> None:
    found = Elements(
        html_of(
            Text(text),
            Fields([(text, text)]),
            Table((text, "run"), [(text, text)]),
            Tree(text, (Tree(text, (Tree(text),)),)),
            Patch(text),
        )
    )
    assert set(found.tags) <= ELEMENTS
    assert {name for name, _ in found.attributes} <= ALLOWED


def test_a_text_is_printed_whole_and_clean() -> None:
    found = Elements(html_of(Fields([("name", "<b>\x1b[31mred\u202e</b> & more")])))
    assert "<b>red</b> & more" in found.texts


def test_a_run_is_a_link_where_its_column_says_so() -> None:
    html = html_of(Table(("run", "note"), [("0123456789abcdef", "0123456789abcdef")]))
    assert html.count('href="/runs/0123456789abcdef"') == 1


@pytest.mark.parametrize("path", ["/", "/runs/{hostile}"])
def test_pages_of_hostile_runs_hold_no_element_of_theirs(site: Site, path: str) -> None:
    found = site.server.ask(path.format(hostile=site.runs.hostile))
    assert found.status == 200
    page = Elements(found.text)
    assert "alert(1)" in found.text
    assert {"b", "svg"} & set(page.tags) == set()
    assert [name for name, _ in page.attributes if name.startswith("on")] == []
    links = [value or "" for name, value in page.attributes if name in ("href", "src")]
    assert not any(value.strip().startswith("javascript:") for value in links)
    sources = [value or "" for name, value in page.attributes if name == "src"]
    assert all(source.startswith("/static/") for source in sources)
    assert page.tags.count("script") + page.tags.count("img") == len(sources)
    assert {"\u202e", "\x1b"} & set("".join(page.texts)) == set()


def test_each_run_of_a_column_of_runs_leads_to_it() -> None:
    held = "0123456789abcdef fedcba9876543210"
    [table] = printed([Table(("box", "runs"), [("alpha", held), ("beta", "3")])])
    pieces = [[(piece.text, piece.run) for piece in row[1].pieces] for row in table.rows]
    assert pieces == [
        [("0123456789abcdef", True), (" ", False), ("fedcba9876543210", True)],
        [("3", False)],
    ]


def test_a_carriage_return_in_a_patch_is_seen() -> None:
    [patch] = printed([Patch("@@ -1 +1 @@\n-one\r\n+one\n")])
    assert patch.lines == [("place", "@@ -1 +1 @@"), ("less", "-one^M"), ("more", "+one")]


def test_secrets_are_looked_up_once_for_a_page_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = count_lookups(monkeypatch)
    tree = Tree(SECRET, [Tree(SECRET, [Tree(SECRET)] * 20)] * 20)
    blocks = [
        tree,
        *[Text(SECRET), Fields([("a", SECRET)]), Table((SECRET,), [(SECRET,)]), Patch(SECRET)] * 20,
    ]
    html = html_of(*blocks)
    assert (SECRET in html, html.count("***"), len(looked)) == (False, 1 + 20 + 400 + 5 * 20, 1)


def test_secrets_are_looked_up_as_often_for_a_long_page_as_for_a_short_one(
    empty_site: Site, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, counts = count_lookups(monkeypatch), []
    for number in (10, 500):
        outputs = tuple(kept(f"{SECRET} {place}", "same") for place in range(number))
        run = finish_run(record, new_run(image=f"image {number}"), outputs=outputs)
        looked.clear()
        text = empty_site.server.ask(f"/runs/{run}").text
        assert SECRET not in text and f"*** {number - 1}" in text
        counts.append(len(looked))
    assert counts[0] == counts[1]
