"""What a command becomes: its shell, its values, and the places where no value can stand."""

from __future__ import annotations

import argparse
import math
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from orchestrator.spec.jobfile.command_check import warnings
from orchestrator.spec.jobfile.placeholders import SHELL, fill_command, marked, text_of
from orchestrator.spec.jobfile.problems import SpecError
from orchestrator.spec.jobfile.read_job import read_spec
from orchestrator.spec.jobfile.shell_quoting import ShellContext, contexts

NASTY = "a  b'\"$(echo run)`echo run`\\ \n#*"


def shell(command: str) -> subprocess.CompletedProcess[bytes]:
    argv = fill_command(command, {"tag": NASTY, "n": 3}, 0)
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30)


def test_of_very_many_warnings_the_first_are_told() -> None:
    params = {f"p{number}": 1 for number in range(5000)}
    found = warnings("a", params, {"A": "".join(f"{{{name}}}" for name in params)}, [])
    assert len(found) == 21
    assert found[-1] == "and 9,980 more parameters and placeholders like these"


@pytest.mark.parametrize(
    "command",
    ["false\ntrue", "false | tee /dev/null", "echo $NOT_SET_ANYWHERE", "(exit 3) && true\nfalse; true"],
)
def test_a_text_ends_with_the_first_command_that_fails(command: str) -> None:
    assert shell(command).returncode != 0


@pytest.mark.parametrize(
    "command", ["false || true", "if false; then :; fi", 'echo "${NOT_SET:-}"', "! false"]
)
def test_a_failure_that_is_looked_at_is_none(command: str) -> None:
    assert shell(command).returncode == 0


def read(tmp_path: Path, command: str) -> None:
    (tmp_path / "job.yaml").write_text(f"name: x\ncommand: {command}\nparams: {{tag: my run, n: 3}}\n")
    read_spec(tmp_path)


@pytest.mark.parametrize(
    ("command", "place"),
    [
        ('python t.py --name "{tag}"', "double quotes"),
        ("python t.py --name '{tag}'", "single quotes"),
        ("python t.py --name $'{tag}'", "single quotes"),
        ('python t.py "--name={tag}"', "double quotes"),
        ('python t.py "${X:-{tag}}"', "double quotes"),
        ('python t.py "$(basename "{tag}")"', "double quotes"),
        ('python t.py --n "{n}"', "double quotes"),
        ("python t.py `echo {tag}`", "backquotes"),
        ("python t.py \\{tag}", "backslash"),
        ("echo $(({tag} + 1))", "arithmetic"),
        ("cat > c.yaml <<E\n  tag: {tag}\n  E\n", "here-document"),
        ("cat <<'E' > c.yaml\n  tag: {tag}\n  E\n", "here-document"),
    ],
)
def test_a_placeholder_where_its_quotes_are_not_read_is_refused(
    tmp_path: Path, command: str, place: str
) -> None:
    with pytest.raises(SpecError, match=place) as caught:
        read(tmp_path, "|\n  " + command)
    assert ":2: command" in str(caught.value) and "{" in str(caught.value)


@pytest.mark.parametrize(
    "command",
    [
        "python t.py --name {tag} --n {n}",
        'python t.py "before "{tag}" after"',
        'python t.py "$(basename {tag})"',
        "echo $(({n} + 1)) `echo {n}`",
        "cat <<E\n  n: {n}\n  E\n  python t.py {tag}\n",
        "python t.py # {tag}",
        'echo "it\'s" {tag}',
        "echo '{{tag}}' ${HOME} {tag}",
        "(cd x && python t.py {tag})",
    ],
)
def test_a_placeholder_that_is_a_word_is_taken(tmp_path: Path, command: str) -> None:
    read(tmp_path, "|\n  " + command)


@pytest.mark.parametrize(
    ("command", "taken"),
    [
        ('[bash, -c, "echo {tag}"]', False),
        ('[/bin/sh, -ec, "echo {tag}"]', False),
        ('[bash, -euo, pipefail, -c, "echo {tag}"]', False),
        ('[bash, -euo, pipefail, -c, "echo {n}"]', True),
        ('[bash, -c, "echo $1", bash, "{tag}"]', True),
        ('[bash, run.sh, "{tag}"]', True),
        ('[python, -c, "print(1)", "{tag}"]', True),
    ],
)
def test_a_script_in_a_list_takes_no_text(tmp_path: Path, command: str, taken: bool) -> None:
    if taken:
        read(tmp_path, command)
        return
    with pytest.raises(SpecError, match="would read its value as commands"):
        read(tmp_path, command)


PIECES = st.sampled_from(
    ["{tag}", "{tag}", '"a b"', "'c d'", "$(printf %s x)", '"$(printf %s {tag})"', "e\\ f", '"', "'",
     "$'\\t'", "`", "${X:-y}", '"${X:-z}"', "\\", " ", "$((1+2))", "#", "<<<", "\n", "("]
)  # fmt: skip


@given(st.lists(PIECES, min_size=1, max_size=7).map("".join))
@example('"it\'s"{tag}')
@example("'\"'{tag}'\"'")
@example("<<<{tag}")
def test_where_the_reader_sees_a_word_bash_reads_the_value(template: str) -> None:
    """The command's output holds the value whole as often as the reader saw a word, of a here-string, too."""
    assume(template.count("<<<") < 2)  # of two here-strings a command reads the second
    text, marks = marked(f"show {template}")
    where = [contexts(text)[index] for index, _ in marks]
    done = shell(f"show() {{{{ printf '[%s]' \"$@\"; cat; }}}}; show {template}")
    if done.returncode == 0 and all(place is ShellContext.WORD for place in where):
        assert done.stdout.count(NASTY.encode()) == len(where), (template, where)


@given(st.text(alphabet="\"'`$(){}\\<>#x \n|;&-E", max_size=30))
def test_any_command_is_read_to_its_end(text: str) -> None:
    assert len(contexts(text)) == len(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.00001, "-0.00001"), (-1e16, "-10000000000000000.0"), (1e-5, "1e-05"), (-0.5, "-0.5"), (-0.0, "-0.0"),
     (True, "true"), (-3, "-3"), ("-1e-5", "-1e-5")],
)  # fmt: skip
def test_how_a_value_is_written(value: bool | float | str, text: str) -> None:
    assert text_of(value) == text


# What argparse of Python 3.11 takes for a negative number; newer ones take more.
NUMBER = re.compile(r"^-\d+$|^-\d*\.\d+$")


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(-5e-324)
@example(-1.7976931348623157e308)
def test_every_float_reaches_argparse_as_itself(value: float) -> None:
    text = text_of(value)
    parser = argparse.ArgumentParser()
    parser.add_argument("--offset", type=float)
    found = parser.parse_args(["--offset", text]).offset
    assert found == value and math.copysign(1, found) == math.copysign(1, value)
    assert (value >= 0 and not text.startswith("-")) or NUMBER.match(text)


def test_text_is_quoted_and_runs_under_bash() -> None:
    assert fill_command("run {tag}", {"tag": NASTY}, 0) == (*SHELL, f"run {shlex.quote(NASTY)}")


@pytest.mark.parametrize(
    ("command", "env", "files", "told"),
    [
        ("python t.py", {}, [b"print(1)"], ["lr", "wd"]),
        ("python t.py {lr}", {}, [], ["wd"]),
        (("python", "t.py", "{lr}", "{wd}"), {}, [], []),
        ("python t.py", {}, [b"import os; os.environ['REPRISE_PARAMS']"], []),
        ('python t.py "$REPRISE_PARAMS"', {}, [], []),
        ("python t.py {lr} {wd}", {"X": "{lr}"}, [], ["env.X"]),
        ("python t.py {lr} {wd}", {"X": "{other}"}, [], []),
        ("python t.py {lr:.2f} {wd} {lr} {seed!r}", {}, [], ["{lr:.2f}", "{seed!r}"]),
        (("t", "{lr}", "{wd}", "a{wd:>3}"), {}, [], ["{wd:>3}"]),
        ("t {lr} {wd} ${wd:-1} {{wd:x}} {a:b} '{lr: 1}'", {}, [], []),
    ],
)
def test_a_parameter_that_nothing_reads_is_told(
    command: str | tuple[str, ...], env: dict[str, str], files: list[bytes], told: list[str]
) -> None:
    found = warnings(command, {"lr": 0.1, "wd": 1}, env, files)
    assert len(found) == len(told) and all(name in text for name, text in zip(told, found, strict=True))


@pytest.mark.parametrize("piece", ["$(", '$("`', "${", "$((", "$(" * 200_000 + "`" * 200_000, '"$('])
def test_what_is_open_costs_nothing_however_much_it_is(piece: str) -> None:
    """20 kB of `$(` took 19 s, and four times that for twice as many: a job file may have a megabyte."""
    text = piece * (400_000 // len(piece))
    assert len(contexts(text)) == len(text)
