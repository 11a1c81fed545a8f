"""Shell completion, asked of the shells themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.programs import ran
from support.terminal import Terminal

ON_TAB = [
    ("reprise su", {"submit"}),
    ("reprise s", {"submit", "show", "schema", "store"}),
    ("reprise ledger s", {"sign"}),
    ("reprise show --pac", {"--packages"}),
]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A user of these shells, who has `reprise` on the path and no settings."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "reprise"
    program.write_text(f"#!{sys.executable}\nfrom orchestrator.cli.main import main; main()\n")
    program.chmod(0o755)
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "xterm"}


@pytest.mark.parametrize(
    ("shell", "mark"),
    [
        ("bash", "complete -o"),
        pytest.param("zsh", "#compdef", marks=pytest.mark.server),
        pytest.param("fish", "complete --", marks=pytest.mark.server),
    ],
)
def test_completion_scripts(process: Callable[..., Any], shell: str, mark: str) -> None:
    code, out, _ = process("completion", shell)
    assert code == 0
    assert mark in out
    assert "_REPRISE_COMPLETE" in out
    subprocess.run([shell, "-n"], input=out, text=True, check=True)


@pytest.mark.parametrize(("words", "expected"), ON_TAB)
def test_completion_in_a_real_bash(
    process: Callable[..., Any], environ: dict[str, str], words: str, expected: set[str]
) -> None:
    """The script is sourced, and its function asked as bash asks it on TAB."""
    script = process("completion", "bash").out
    ask = (
        f"COMP_WORDS=({words}); COMP_CWORD={len(words.split()) - 1}; _reprise_completion reprise; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = ran("bash", "-c", f"{script}\n{ask}", code=None, env=environ, timeout=180)
    assert set(done.stdout.split()) == expected, done.stderr


@pytest.mark.server
@pytest.mark.parametrize(("words", "expected"), ON_TAB)
def test_completion_in_a_real_fish(
    process: Callable[..., Any], environ: dict[str, str], words: str, expected: set[str], tmp_path: Path
) -> None:
    """The script lies where its help says, and fish itself says what TAB would offer."""
    folder = tmp_path / ".config" / "fish" / "completions"
    folder.mkdir(parents=True)
    (folder / "reprise.fish").write_text(process("completion", "fish").out)
    done = ran("fish", "-c", f'complete -C "{words}"', code=None, env=environ, timeout=180)
    assert {line.partition("\t")[0] for line in done.stdout.splitlines()} == expected, done.stderr


@pytest.mark.server
@pytest.mark.parametrize(
    ("typed", "line"),
    [("reprise su\t", "reprise submit "), ("reprise show --pac\t", "reprise show --packages ")],
)
def test_tab_in_a_real_zsh(
    process: Callable[..., Any], environ: dict[str, str], typed: str, line: str, tmp_path: Path
) -> None:
    """The script lies in a folder of fpath; TAB is typed, and then a key that keeps the line."""
    folder = tmp_path / ".zfunc"
    folder.mkdir()
    (folder / "_reprise").write_text(process("completion", "zsh").out)
    kept = tmp_path / "line"
    (tmp_path / ".zshrc").write_text(
        "fpath=(~/.zfunc $fpath); autoload -Uz compinit; compinit -u; PS1='ready> '\n"
        f'keep() {{ print -rn -- "$BUFFER" > {kept}.new; mv {kept}.new {kept}; }}\n'
        "zle -N keep; bindkey '^T' keep\n"
    )
    with Terminal(["zsh", "--no-globalrcs", "-i"], environ | {"ZDOTDIR": str(tmp_path)}) as terminal:
        terminal.wait_for(b"ready> ")
        terminal.type(typed + "\x14")
        terminal.wait(kept.exists)
    assert kept.read_text() == line
