"""The group of verbs: its tables, its errors, its exit codes, and what it costs to start."""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import orchestrator
from orchestrator.cli import main as entry
from orchestrator.cli.verbs import EXIT_CODES, GROUPS, VERBS, module_of, verbs_of
from orchestrator.errors import ExitCode, StoreError, UsageError

HEAVY = (
    *("docker", "sqlmodel", "sqlalchemy", "alembic", "pydantic"),
    *("rich", "torch", "numpy", "requests", "ruamel"),
)


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Put a body in the place of the verb `cancel`, to see what becomes of what it raises."""

    def place(body: Callable[[], object]) -> None:
        command = click.Command("cancel", callback=body, params=[click.Option(["--json"], is_flag=True)])
        command.callback = lambda **_: body()
        monkeypatch.setattr(entry.LazyGroup, "get_command", lambda *_: command)

    return place


def fail(error: BaseException) -> Callable[[], object]:
    def body() -> object:
        raise error

    return body


@pytest.mark.parametrize("name", sorted(VERBS.keys() - GROUPS))
def test_a_verb_says_what_the_table_says(name: str) -> None:
    command = importlib.import_module(module_of(name)).command
    assert command.name == name.split()[-1]
    assert command.get_short_help_str(limit=200) == VERBS[name].summary
    assert command.hidden == VERBS[name].hidden


def test_there_is_no_verb_outside_the_table() -> None:
    folder = Path(orchestrator.__file__).parent / "cli" / "commands"
    with_command = {
        " ".join(path.relative_to(folder).with_suffix("").parts)
        for path in folder.rglob("*.py")
        if "\ndef command(" in path.read_text()
    }
    assert with_command == VERBS.keys() - GROUPS


def test_every_exit_code_has_a_meaning() -> None:
    assert set(EXIT_CODES) == set(ExitCode)


@pytest.mark.parametrize("name", VERBS)
def test_help_of_every_verb(reprise: Callable[..., object], name: str) -> None:
    code, out, _ = reprise(*name.split(), "--help")
    assert code == 0
    assert VERBS[name].summary in " ".join(out.split())
    for inner, verb in verbs_of(name).items():
        assert f"  {inner} " in out and verb.summary in " ".join(out.split())


def test_help_lists_verbs_and_exit_codes(reprise: Callable[..., object]) -> None:
    code, out, _ = reprise("--help")
    assert code == 0
    for name, verb in verbs_of("").items():
        assert (f"  {name} " in out) is not verb.hidden
    for exit_code in ExitCode:
        assert f"\n  {exit_code.value} " in out


def test_no_arguments_is_a_usage_error_with_help(reprise: Callable[..., object]) -> None:
    code, _, err = reprise()
    assert code == ExitCode.USAGE
    assert "submit" in err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("sumbit", "submit"),
        ("ledger lgo", "ledger log"),
        ("wroker list", "worker"),
        ("gc", "store gc"),  # a group's verb without its group
        ("zzzz", None),
        ("image zzzz", None),
    ],
)
def test_a_mistyped_verb_gets_a_suggestion(
    reprise: Callable[..., object], typed: str, meant: str | None
) -> None:
    code, out, err = reprise(*typed.split())
    assert (code, out, "no such verb: " in err) == (ExitCode.USAGE, "", True)
    assert (f"did you mean {meant!r}?" in err, "did you mean" in err) == (bool(meant), bool(meant))


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_a_group_alone_shows_its_verbs(reprise: Callable[..., object], group: str) -> None:
    code, out, err = reprise(group)
    assert (code, out) == (ExitCode.USAGE, "")
    assert all(f"  {name} " in err for name in verbs_of(group))


def test_a_missing_argument_is_shown_where_it_belongs(reprise: Callable[..., object]) -> None:
    code, _, err = reprise("show")
    assert (code, "usage: reprise show [OPTIONS] RUN; " in err) == (2, True), err
    code, _, err = reprise("diff", "aaaa")
    assert (code, "a second run is missing" in err) == (2, True), err


def test_usage_errors_are_2_and_have_a_hint(reprise: Callable[..., object]) -> None:
    code, out, err = reprise("best", "digits")
    assert (code, out) == (ExitCode.USAGE, "")
    assert "--metric" in err
    assert "`reprise best --help`" in err


@pytest.mark.parametrize(
    "error", [UsageError("no run abcd", "look"), StoreError("disk is full"), UsageError("x\x1b[2J")]
)
def test_our_errors_become_message_hint_and_code(
    reprise: Callable[..., object], verb: Callable[..., None], error: UsageError
) -> None:
    verb(fail(error))
    code, out, err = reprise("cancel")
    assert (code, out) == (error.exit_code, "")
    assert err.startswith(f"reprise: {error.message[:1]}")
    assert ("hint:" in err) == (error.hint is not None)
    assert "\x1b" not in err


def test_errors_as_json(reprise: Callable[..., object], verb: Callable[..., None]) -> None:
    verb(fail(UsageError("no run abcd", "look")))
    code, out, err = reprise("cancel", "--json")
    assert (code, out) == (2, "")
    assert json.loads(err) == {
        "error": {"kind": "UsageError", "message": "no run abcd", "hint": "look", "exit_code": 2}
    }


def test_usage_errors_as_json(reprise: Callable[..., object]) -> None:
    code, _, err = reprise("best", "digits", "--json")
    assert code == 2
    assert json.loads(err)["error"]["exit_code"] == 2


def test_interrupt_is_130(reprise: Callable[..., object], verb: Callable[..., None]) -> None:
    verb(fail(KeyboardInterrupt()))
    code, _, err = reprise("cancel")
    assert (code, err) == (130, "reprise: interrupted\n")


def test_a_bug_is_written_to_a_file(
    reprise: Callable[..., object], verb: Callable[..., None], home: Path
) -> None:
    verb(fail(ZeroDivisionError("by zero")))
    code, out, err = reprise("cancel")
    assert (code, out) == (ExitCode.INFRASTRUCTURE, "")
    [path] = home.glob("crash-*.txt")
    assert "a bug in reprise: ZeroDivisionError: by zero" in err
    assert str(path) in err
    assert "Traceback" not in err
    assert "Traceback" in path.read_text()
    assert "reprise cancel\n" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_bug_is_printed_where_no_file_can_be_written(
    reprise: Callable[..., object], verb: Callable[..., None], home: Path
) -> None:
    home.parent.mkdir(exist_ok=True)
    home.write_text("in the way")
    verb(fail(ZeroDivisionError("by zero")))
    code, _, err = reprise("cancel")
    assert code == ExitCode.INFRASTRUCTURE
    assert "Traceback" in err


def test_a_verbs_number_is_the_exit_code(reprise: Callable[..., object], verb: Callable[..., None]) -> None:
    verb(lambda: ExitCode.DIFFERENT)
    assert reprise("cancel")[0] == 3


def test_a_closed_pipe_is_quiet(home: Path) -> None:
    script = "import sys; from orchestrator.cli.main import main; main(['--help'])"
    shell = f'{sys.executable} -c "{script}" | true; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=180)
    assert done.stdout.split()[-1] == "0"
    assert done.stderr == ""


VERB = (
    "import click, sys\nfrom orchestrator.cli import main\nfrom orchestrator.cli.terminal import console\n"
    "from orchestrator.view.forms.page import Text, View\n"
    "def verb():\n    {}\n    return 3\n"
    "main.LazyGroup.get_command = lambda *_: click.Command('show', callback=verb)\nmain.main(['show'])"
)
LONG = "'x\\n' * 100_000"  # more than a pipe holds: it is written until the reader is gone
PRINTS = {
    "a page": f"console.show([Text({LONG})])",
    "a document": f"console.print_document([{LONG}])",
    "a line": f"console.line({LONG})",
    "a short line": "console.line('x')",
}


@pytest.mark.parametrize("prints", PRINTS.values(), ids=PRINTS)
def test_a_reader_that_has_gone_takes_no_exit_code_away(home: Path, prints: str) -> None:
    """`set -o pipefail; reprise audit | head -1` must fail where something was altered."""
    shell = '"$0" -c "$1" | true; echo ${PIPESTATUS[0]}'
    words = ["bash", "-c", shell, sys.executable, VERB.format(prints)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=180)
    assert (done.stdout, done.stderr) == ("3\n", "")


@pytest.mark.parametrize("where", ["/dev/full", "&-"])
def test_what_cannot_be_told_fails_no_verb(home: Path, where: str) -> None:
    for shown, code in (("console.tell('x ' * 50_000)", 3), ("raise click.UsageError('x ' * 50_000)", 2)):
        words = ["bash", "-c", f'"$0" -c "$1" 2>{where}', sys.executable, VERB.format(shown)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=180)
        assert (done.returncode, done.stdout) == (code, "")


def test_no_file_is_opened_in_the_place_of_a_closed_stream(home: Path, tmp_path: Path) -> None:
    show = (
        "import os; console.line(str([os.fstat(n).st_rdev == os.stat('/dev/null').st_rdev for n in (0, 2)]))"
    )
    words = ["bash", "-c", '"$0" -c "$1" <&- 2>&-', sys.executable, VERB.format(show)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=180)
    assert (done.returncode, done.stdout) == (3, "[True, True]\n")


def test_a_narrow_encoding_does_not_fail(home: Path) -> None:
    script = (
        "import click\nfrom orchestrator.cli import main\nfrom orchestrator.cli.terminal import console\n"
        "show = click.Command('show', callback=lambda: console.line('h\\xe9'))\n"
        "main.LazyGroup.get_command = lambda *_: show\nmain.main(['show'])"
    )
    environ = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environ)
    assert (done.returncode, done.stdout, done.stderr) == (0, "h\\xe9\n", "")


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["ledger", "--help"]])
def test_start_imports_nothing_heavy(args: list[str], home: Path) -> None:
    script = (
        "import sys\nfrom orchestrator.cli.main import run\n"
        f"assert run({args!r}) == 0\nprint(*sys.modules, sep=chr(10), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert "click" in loaded
    assert loaded.isdisjoint(HEAVY)
    rooms = {name for name in done.stderr.split() if name.startswith("orchestrator.")}
    assert rooms == {
        "orchestrator.cli",
        "orchestrator.cli.main",
        "orchestrator.cli.verbs",
        "orchestrator.errors",
    }


@pytest.mark.parametrize("name", sorted(VERBS.keys() - GROUPS))
def test_a_verbs_module_imports_nothing_heavy(name: str) -> None:
    # By name: `import` is no name that a statement takes.
    script = "import importlib, sys; importlib.import_module(sys.argv[1]); print(*sys.modules, sep=chr(10))"
    words = [sys.executable, "-c", script, module_of(name)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert {line.split(".")[0] for line in done.stdout.split()}.isdisjoint(HEAVY)


def test_help_is_quick(process: Callable[..., object]) -> None:
    """Under 150 ms, interpreter and all: processor time, best of five, since others share the machine.

    By the wall clock: 50 to 60 ms on an idle box, 140 to 240 ms at a load average of 14 on two cores.
    """

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert process("--help").code == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)

    assert min(once() for _ in range(5)) < 0.150
