"""Verbs and options that messages, docstrings and documents name: each is one that can be typed."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from orchestrator.cli.verbs import GROUPS, VERBS, module_of

ROOT = Path(__file__).parents[2]
PLACEHOLDER = "X"  # what an f-string fills in
_TYPED = re.compile(r"\breprise ([^`\n#;&|]*)")


def strings(path: Path) -> Iterator[str]:
    """Every string of a module, docstrings too; parts that stand one after the other are one."""
    tree = ast.parse(path.read_text())
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else PLACEHOLDER for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def commands(text: str, fenced: bool) -> Iterator[str]:
    """What is typed after `reprise`: in backticks, and in blocks of a document at a line's beginning."""
    for quoted in re.findall(r"`(reprise [^`]+)`", text.replace("\n", " ")):
        yield from _TYPED.findall(re.sub(r"\s+", " ", quoted))
    if text.startswith("reprise "):  # a line to be typed, alone
        yield from _TYPED.findall(text)
    if fenced:
        for block in re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            for line in block.splitlines():
                if re.match(r"(\S*\$ +|ExecStart=)?(\S*/)?reprise ", line):
                    yield from _TYPED.findall(line)


def mistake(typed: str) -> str | None:
    """What is wrong with the words after `reprise`, if anything is."""
    words = typed.replace("[", " ").replace("]", " ").split()
    if not words or not re.fullmatch(r"[a-z-]+", words[0]) or words[0].startswith("-"):
        return None  # `reprise VERB -h`, `reprise --help`
    path = words[0]
    if path in GROUPS and words[1:2] and re.fullmatch(r"[a-z]+", words[1]):
        path += f" {words[1]}"
    if path not in VERBS:
        return f"no verb `{path}`"
    if path in GROUPS:
        return None
    command: click.Command = importlib.import_module(module_of(path)).command
    known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    known |= {"-h", "--help"}
    options = {word.partition("=")[0].rstrip(".,:)") for word in words if re.match(r"--?[a-z]", word)}
    return f"`{path}` has no {' '.join(sorted(options - known))}" if options - known else None


DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])
MODULES = sorted((ROOT / "orchestrator").rglob("*.py"))


def test_messages_and_docstrings_name_verbs_that_there_are() -> None:
    named = [
        (str(path.relative_to(ROOT)), typed)
        for path in MODULES
        for text in strings(path)
        for typed in commands(text, fenced=False)
    ]
    assert len(named) > 80, "the strings were not found"
    assert [(where, typed, wrong) for where, typed in named if (wrong := mistake(typed))] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_verbs_that_there_are(path: Path) -> None:
    named = commands(path.read_text(), fenced=True)
    assert [(typed, wrong) for typed in named if (wrong := mistake(typed))] == []


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ("whence FILE", True),
        ("ledger lgo", True),
        ("ledger log --rnu X", True),
        ("compare --operations A B", False),
        ("audit --only verdicts X X", False),
        ("worker", False),
        ("history --sort=-metrics.accuracy", False),
    ],
)
def test_a_wrong_verb_is_seen(typed: str, wrong: bool) -> None:
    assert (mistake(typed) is not None) is wrong
