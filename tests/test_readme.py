"""The documentation is a test: every verb and every exit code stands in the README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.cli.verbs import EXIT_CODES, VERBS

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("verb", [name for name, verb in VERBS.items() if not verb.hidden])
def test_every_verb_is_in_the_readme(verb: str) -> None:
    assert re.search(rf"^\|\s*`(?:reprise )?{verb}\b", README, re.MULTILINE), f"no table row for `{verb}`"


@pytest.mark.parametrize("code", [code.value for code in EXIT_CODES])
def test_every_exit_code_is_in_the_readme(code: int) -> None:
    assert re.search(rf"^\|\s*`?{code}`?\s*\|", README, re.MULTILINE), f"no table row for exit code {code}"


def test_the_readme_names_no_verb_that_does_not_exist() -> None:
    used = re.findall(r"`reprise ([a-z]+)", README)
    assert set(used) <= VERBS.keys()
