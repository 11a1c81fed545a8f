"""Options of argparse: the drafted command does what the script does without options."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import tries

from orchestrator.launch.project_survey.draft_project import draft_files
from orchestrator.launch.project_survey.interfaces.script_options import ScriptInterface
from orchestrator.launch.project_survey.job_text import command_of, demanded
from orchestrator.launch.project_survey.survey_project import Survey, survey_project
from orchestrator.spec.jobfile.placeholders import fill_command
from orchestrator.spec.jobfile.read_job import read_spec_text


def surveyed(folder: Path, text: str, name: str = "train.py") -> Survey:
    (folder / name).write_text(text)
    return survey_project(folder / name, {"torch": "", "numpy": ""})


def interface(folder: Path, text: str) -> ScriptInterface:
    return surveyed(folder, text).draft.interface


def written(folder: Path, text: str) -> list[str]:
    """The words of the drafted command, filled in, behind `python train.py`."""
    survey = surveyed(folder, text)
    spec = read_spec_text(draft_files(survey)["job.yaml"], folder / "job.yaml")
    command = fill_command(spec.command, spec.params, spec.seed)
    words = shlex.split(command[-1])
    assert words[:2] == ["python", "train.py"]
    return words[2:]


def values(folder: Path, text: str) -> dict[str, Any]:
    return {option.name: option.value for option in interface(folder, text).options}


PARSER = "import argparse\nparser = argparse.ArgumentParser()\n"


def program(*calls: str) -> str:
    return (
        PARSER + "".join(f"parser.add_argument({call})\n" for call in calls) + "args = parser.parse_args()\n"
    )


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("'--lr', type=float, default=1e-3", 0.001),
        ("'--lr', type=float, default=1", 1.0),
        ("'--lr', default='3', type=int", 3),
        ("'-b', '--batch-size', type=int, default=2**6", 64),
        ("'--opt', default='adam', choices=['adam', 'sgd']", "adam"),
        ("'--opt', type=str, default='a b\\'c'", "a b'c"),
        ("'--decay', type=float, default=-1e-5", -1e-05),
        ("'--name', default='-x'", "-x"),
        ("'--name', default=''", ""),
        ("'--path', type=Path, default=Path('a/b')", "a/b"),
        ("'--flag', type=lambda x: bool(strtobool(x)), default=True, nargs='?', const=True", True),
        ("'--data', required=True", None),
        ("'data'", None),
        ("'data', nargs='?', default='imagenet'", "imagenet"),
    ],
)
def test_an_option_with_a_default_that_text_can_give_is_a_parameter(
    tmp_path: Path, call: str, value: Any
) -> None:
    found = values(tmp_path, program(call))
    assert list(found.values()) == [value]
    assert type(*found.values()) is type(value)


@pytest.mark.parametrize(
    "call",
    [
        "'--lr', default=0.1",  # would be text
        "'--fast', type=bool, default=False",  # every text is true
        "'--fast', action='store_true'",
        "'--fast', action=argparse.BooleanOptionalAction, default=True",
        "'--path', default=Path('a')",
        "'--sizes', type=int, nargs='+', default=[1, 2]",
        "'--steps', type=int",
        "'--steps', type=int, default=1.5",
        "'--steps', type=int, default=compute()",
        "'--opt', default='c', choices=['a', 'b']",
        "'--log', type=argparse.FileType('w'), default='x'",
        "'--a', **more",
        "'--a', default='x', dest=name()",
        "'--line', default='a\\nb'",
        "'--cur', type=int, default=1 << 80",
        "'--big', type=float, default=1e400",
    ],
)
def test_what_the_command_line_cannot_say_stays_at_the_scripts_default(tmp_path: Path, call: str) -> None:
    found = interface(tmp_path, program(call))
    assert found.options == () or call.startswith("'--a', default")


def test_a_seed_is_the_jobs_seed(tmp_path: Path) -> None:
    for default, seed in (("1", 1), ("None", 0), ("-1", 0), ("now()", 0)):
        text = program(f"'--seed', type=int, default={default}")
        spec = read_spec_text(draft_files(surveyed(tmp_path, text))["job.yaml"], tmp_path / "job.yaml")
        assert (spec.seed, spec.params, spec.command) == (seed, {}, "python train.py --seed {seed}")
    assert values(tmp_path, program("'--seed', default='x'")) == {"seed_option": "x"}, "text seeds nothing"


@pytest.mark.parametrize(
    "text",
    [
        # The ways in which scripts are written: a function, a parent, a class, another module's parser.
        "import argparse\ndef get():\n    p = argparse.ArgumentParser()\n"
        "    p.add_argument('--lr', type=float, default=0.5)\n    return p.parse_args()\n"
        "if __name__ == '__main__':\n    args = get()\n",
        "import argparse\ndef get():\n"
        "    p = argparse.ArgumentParser('x', add_help=False)\n"
        "    p.add_argument('--lr', default=0.5, type=float)\n    return p\n"
        "if __name__ == '__main__':\n    p = argparse.ArgumentParser('y', parents=[get()])\n"
        "    p.parse_args()\n",
        "import argparse\nclass Options:\n    def __init__(self):\n"
        "        self.parser = argparse.ArgumentParser()\n"
        "        self.add()\n    def add(self):\n"
        "        self.parser.add_argument('--lr', type=float, default=0.5)\n"
        "    def parse(self):\n        return self.parser.parse_args()\nopt = Options().parse()\n",
        "from argparse import ArgumentParser\ndef add(parser):\n"
        "    group = parser.add_argument_group('opt')\n"
        "    group.add_argument('--lr', type=float, default=LR)\nLR = 0.5\n"
        "def main(argv=None):\n    parser = ArgumentParser()\n    add(parser)\n"
        "    parser.parse_args(argv)\nmain()\n",
        "import argparse\nfirst = argparse.ArgumentParser()\nfirst.add_argument('-c', '--config')\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.add_argument('--lr', type=float, default=0.5)\n"
        "known, rest = first.parse_known_args()\nargs = parser.parse_args(rest)\n",
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default=0.1)\n"
        "p.set_defaults(lr=0.5)\np.parse_args()\n",
        "from options import parse\nargs = parse()\n",
        "import options\nargs = options.parser.parse_args()\n",
        "from options import parser\nargs = parser.parse_args()\n",
    ],
)
def test_a_parser_is_followed_through_functions_classes_and_modules(tmp_path: Path, text: str) -> None:
    (tmp_path / "options.py").write_text(
        "import argparse\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--lr', type=float, default=0.5)\ndef parse():\n    return parser.parse_args()\n"
    )
    assert values(tmp_path, text) == {"lr": 0.5}


@pytest.mark.parametrize(
    "text",
    [
        PARSER + "if cuda:\n    parser.add_argument('--lr', type=float, default=0.5)\nparser.parse_args()\n",
        PARSER + "parser.add_argument('--lr', type=float, default=0.5)\nargs = parser.parse_args([])\n",
        PARSER + "g = parser.add_mutually_exclusive_group()\ng.add_argument('--lr', type=float, default=1)\n"
        "parser.parse_args()\n",
        PARSER + "parser.add_argument('--lr', type=float, default=1)\nparser.set_defaults(**read())\n"
        "parser.parse_args()\n",
        PARSER + "parser.add_argument('--lr', type=float, default=1)\nparser.set_defaults(lr=read())\n"
        "parser.parse_args()\n",
        PARSER + "parser.add_argument('--lr', type=float, default=1)\n"
        "parser.add_argument('--rate', dest='lr', type=float, default=2)\nparser.parse_args()\n",
        "import argparse\ndef f(lr):\n    p = argparse.ArgumentParser()\n"
        "    p.add_argument('--lr', type=float, default=lr)\n    p.parse_args()\nlr = 3\nf(4)\n",
        "import argparse\ndef unused():\n    p = argparse.ArgumentParser()\n"
        "    p.add_argument('--lr', type=float, default=1)\n    p.parse_args()\n",
    ],
)
def test_where_a_default_is_not_certain_nothing_is_written(tmp_path: Path, text: str) -> None:
    assert values(tmp_path, text) == {}


def test_of_several_commands_the_one_that_trains_is_meant(tmp_path: Path) -> None:
    text = PARSER + (
        "commands = parser.add_subparsers(dest='command')\n"
        "test = commands.add_parser('evaluate')\ntest.add_argument('--k', type=int, default=3)\n"
        "fit = commands.add_parser('train')\nfit.add_argument('--lr', type=float, default=0.5)\n"
        "args = parser.parse_args()\n"
    )
    assert written(tmp_path, text) == ["train", "--lr", "0.5"]


def test_options_before_a_subcommand_are_named(tmp_path: Path) -> None:
    text = PARSER + (
        "parser.add_argument('--verbose', default='x')\n"
        "fit = parser.add_subparsers().add_parser('train')\n"
        "fit.add_argument('--lr', type=float, default=0.5)\n"
        "args = parser.parse_args()\n"
    )
    assert written(tmp_path, text) == ["train", "--lr", "0.5"]
    assert any("before the word train it takes --verbose" in note for note in interface(tmp_path, text).notes)


def test_parents_that_are_named_many_times_are_read_once(tmp_path: Path) -> None:
    """Eleven generations of eight parents each are 8^10 parsers, were each followed each time."""
    text = (
        "import argparse\np0 = argparse.ArgumentParser(add_help=False)\np0.add_argument('--a', default='1')\n"
    )
    for number in range(1, 12):
        parents = ", ".join([f"p{number - 1}"] * 8)
        text += f"p{number} = argparse.ArgumentParser(add_help=False, parents=[{parents}])\n"
    assert values(tmp_path, text + "p11.parse_args()\n") == {}
    assert values(tmp_path, text + "p9.parse_args()\n") == {"a": "1"}


# Any parser: the drafted command gives what the script has without any option.

_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
_WORD = st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z]{1,3})?", fullmatch=True).filter(lambda word: word[0] != "h")
_NUMBER = st.one_of(st.integers(-(10**6), 10**6), st.floats(allow_nan=False, allow_infinity=False))


@st.composite
def arguments(draw: st.DrawFn) -> str:
    """One call of `add_argument`, as people write them and as they do not."""
    name = draw(_WORD)
    flags = draw(st.sampled_from([f"'--{name}'", f"'-{name[0]}', '--{name}'", f"'-{name}'", f"'{name}'"]))
    parts = [flags]
    default = draw(st.one_of(st.none(), _NUMBER, _TEXT, st.booleans(), st.lists(_NUMBER, max_size=2)))
    if default is not None:
        parts.append(f"default={default!r}")
    kind = draw(st.sampled_from(["", "", "int", "float", "str", "bool"]))
    nargs = draw(st.sampled_from(["", "", "", "'?'", "'*'", "2"]))
    action = draw(st.sampled_from(["", "", "", "'store_true'", "'count'", "'append'"]))
    if action:
        parts.append(f"action={action}")
    parts += [f"type={kind}"] if kind and action not in ("'store_true'", "'count'") else []
    parts += [f"nargs={nargs}"] if nargs and not action else []
    if draw(st.booleans()) and isinstance(default, str) and kind in ("", "str") and not action:
        parts.append(f"choices={[default, 'other']!r}")
    parts += [f"help={draw(_TEXT)!r}"] if draw(st.booleans()) else []
    return ", ".join(parts)


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def parsed(calls: list[str], words: list[str]) -> dict[str, Any] | None:
    """What argparse itself makes of words; None where it refuses the program or them."""
    parser = Parser()
    try:
        for call in calls:
            eval(f"parser.add_argument({call})", {"parser": parser})
        return vars(parser.parse_args(words))
    except (argparse.ArgumentError, ValueError, TypeError, SystemExit):
        return None


@settings(max_examples=tries(600))
@given(calls=st.lists(arguments(), max_size=6))
def test_the_drafted_command_gives_what_the_script_has_without_options(
    tmp_path_factory: pytest.TempPathFactory, calls: list[str]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "argparse"
    folder.mkdir(exist_ok=True)
    without = parsed(calls, [])
    text = program(*calls)
    survey = surveyed(folder, text)
    draft = draft_files(survey)["job.yaml"]
    spec = read_spec_text(draft, folder / "job.yaml", dict.fromkeys(demanded(survey.draft), "x"))
    assert spec.command == " ".join(command_of(survey.draft)), "nothing else of the file is read as command"
    if without is None:
        return  # argparse refuses the program, or wants something
    command = fill_command(spec.command, spec.params, spec.seed)
    given_words = parsed(calls, shlex.split(command[-1])[2:])
    assert given_words is not None, (command, draft)
    without.pop("seed", None), given_words.pop("seed", None)
    assert given_words == without, (command, draft)
    numbers = [c for c in calls if "type=float" in c and "default=" in c and "nargs" not in c and c[1] == "-"]
    if len(calls) == 1 and numbers and isinstance(next(iter(without.values()), None), float):
        assert len(spec.params) == 1, "a number with its type can be a parameter"
