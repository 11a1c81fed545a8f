"""Pages that prove themselves, with one character changed."""

from __future__ import annotations

import re

# The first group of each is the character.
SHOWN_AND_PROVEN = {
    "the key": r'"key":"[^"]+\+[0-9a-f]{8}\+(.)',
    "the tree head": r'"head":"reprise/[0-9a-f]+\\n(\d)',
    "its signature": r'"head":"[^"]*— \S+ .{20}(.)',
    "an entry": r'\\"kind\\":\\"run.(.)',
    "a hash of the way": r'"path":\["(.)',
    "the page's signature": r'"page":"[^"]*— \S+ .{20}(.)',
    "a metric shown": r"<dt>metrics</dt><dd>accuracy 0\.(\d)",
    "a chart": r'<path d="M2\.(\d)',
}


def changed(html: str, pattern: str) -> str:
    found = re.search(pattern, html)
    assert found is not None, pattern
    at, old = found.start(1), found[1]
    return html[:at] + ("1" if old != "1" else "2") + html[at + 1 :]
