"""docs/team.md: `make team` types its commands, so each block is either typed or said not to be."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support.programs import REPO, load_program

PAGE = (REPO / "docs" / "team.md").read_text()
# What the page shows of "Ten minutes" and nobody types there: NFS, the systemd unit.
NOT_TYPED = ("apt-get install -y nfs-kernel-server\n", "[Service]\n")


@pytest.fixture(scope="module")
def team() -> Any:
    return load_program(REPO / "scripts" / "team.py")


def test_every_block_of_the_ten_minutes_is_typed_or_known_not_to_be(team: Any) -> None:
    section = PAGE[PAGE.index("## Ten minutes") : PAGE.index("## A store on S3")]
    shown = re.findall(r"^```\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    typed = [block.commands for block in team.blocks_of(PAGE)]
    assert [block for block in shown if block not in typed and not block.startswith(NOT_TYPED)] == []
    assert len(shown) - len(typed) == len(NOT_TYPED)
    assert {name for block in team.blocks_of(PAGE) for name in block.places} == set(team.PLACES)


def test_a_line_of_the_page_is_named_by_its_number(team: Any) -> None:
    lines = PAGE.splitlines()
    for block in team.blocks_of(PAGE):
        assert lines[block.line - 1] == block.commands.splitlines()[0]


def test_a_place_that_nobody_made_is_no_place(team: Any) -> None:
    with pytest.raises(ValueError, match="no such place"):
        team.blocks_of("<!-- make team: cellar -->\n```\ntrue\n```\n")
