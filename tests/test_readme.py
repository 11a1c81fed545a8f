"""The documentation is a test: verbs, exit codes and links are those that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.cli.verbs import EXIT_CODES, VERBS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = (ROOT / "docs" / "commands.md").read_text("utf-8")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


@pytest.mark.parametrize("verb", [name for name, verb in VERBS.items() if not verb.hidden])
def test_every_verb_has_a_row_among_the_commands_and_its_first_word_stands_in_the_readme(verb: str) -> None:
    assert re.search(rf"^\|\s*`{verb}\b", COMMANDS, re.MULTILINE), f"docs/commands.md has no row for `{verb}`"
    assert f"`{verb.split()[0]}`" in README


def test_the_pages_name_no_verb_that_does_not_exist() -> None:
    used = {word for page in PAGES for word in re.findall(r"`reprise ([a-z]+)", page.read_text("utf-8"))}
    assert used - {verb.split()[0] for verb in VERBS} == set()


@pytest.mark.parametrize("code", [code.value for code in EXIT_CODES])
def test_every_exit_code_is_in_the_readme(code: int) -> None:
    assert re.search(rf"^\|\s*`?{code}`?\s*\|", README, re.MULTILINE), f"no table row for exit code {code}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
