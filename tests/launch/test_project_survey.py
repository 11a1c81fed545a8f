"""What lies in a folder, and what becomes of it: entry points, data, packages; hostile folders."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import tries

from orchestrator.errors import UsageError
from orchestrator.launch.project_survey.data_beside_code import find_data
from orchestrator.launch.project_survey.draft_project import draft_files
from orchestrator.launch.project_survey.ignore_patterns import ignore_patterns
from orchestrator.launch.project_survey.interfaces.script_options import is_writable
from orchestrator.launch.project_survey.job_text import command_of, demanded, scalar
from orchestrator.launch.project_survey.project_files import ProjectFiles
from orchestrator.launch.project_survey.survey_project import Survey, survey_project
from orchestrator.spec.jobfile.job_spec import JobSpec, SourceSpec
from orchestrator.spec.jobfile.read_job import read_spec_text
from orchestrator.spec.jobfile.strict_yaml import read_yaml
from orchestrator.spec.source.read_source import read_source

BASE = {"torch": "", "numpy": ""}
OPTIONS = "import argparse\np = argparse.ArgumentParser()\n{}args = p.parse_args()\n"


def filled(folder: Path, files: dict[str, str | int]) -> Path:
    """Files by name: text, or so many bytes of a file of holes."""
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, int):
            with place.open("wb") as stream:
                stream.truncate(content)
        else:
            place.write_text(content)
    return folder


def drafted(survey: Survey) -> JobSpec:
    params = dict.fromkeys(demanded(survey.draft), "given")
    spec = read_spec_text(draft_files(survey)["job.yaml"], survey.folder / "job.yaml", params)
    assert spec.command == " ".join(command_of(survey.draft)), "nothing else of the file is read as command"
    return spec


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"train.py": "", "main.py": "", "utils.py": ""}, "python train.py"),
        ({"main.py": "", "utils.py": ""}, "python main.py"),
        ({"model.py": "", "mnist.py": "if __name__ == '__main__':\n    1\n"}, "python mnist.py"),
        ({"only.py": "", "setup.py": "", "test_only.py": ""}, "python only.py"),
        ({"pkg/__init__.py": "", "pkg/__main__.py": ""}, "python -m pkg"),
        ({"src/pkg/__init__.py": "", "src/pkg/__main__.py": ""}, "PYTHONPATH=src python -m pkg"),
        (
            {"scripts/train.py": "import lib.a\n", "lib/a.py": "", "pyproject.toml": ""},
            "PYTHONPATH=. python scripts/train.py",
        ),
        (
            {"pyproject.toml": "[project.scripts]\nfit = 'pkg.cli:run'\n", "pkg/cli.py": "def run(): pass\n"},
            "python -c 'import sys; from pkg.cli import run; sys.exit(run())'",
        ),
    ],
)
def test_what_runs_is_found(tmp_path: Path, files: dict[str, str | int], command: str) -> None:
    assert drafted(survey_project(filled(tmp_path, files), BASE)).command == command


def test_data_becomes_inputs_where_the_script_looks_for_it(tmp_path: Path) -> None:
    options = (
        "p.add_argument('--data', default='./data/train')\np.add_argument('--conf', default='conf/a.yaml')\n"
        "p.add_argument('--far', default='/etc/passwd')\n"
    )
    files: dict[str, str | int] = {
        "train.py": OPTIONS.format(options) + "open('weights/w.bin')\n",
        "data/train/x.csv": "1\n",
        "conf/a.yaml": "a: 1\n",
        "weights/w.bin": 2 << 20,
        "big/unnamed.bin": 2 << 20,
        "tables/loader.py": "",
        "runs/1/events": "x",
    }
    survey = survey_project(filled(tmp_path, files), BASE)
    text = draft_files(survey)["job.yaml"]
    spec = drafted(survey)
    assert {name: Path(item.path) for name, item in spec.inputs.items()} == {
        "data": tmp_path / "data",
        "w.bin": tmp_path / "weights" / "w.bin",
    }
    assert spec.command == (
        "mkdir -p weights && ln -s /inputs/w.bin weights/w.bin && "
        "python train.py --data /inputs/data/train --conf {conf} --far {far}"
    )
    assert "#   far: /etc/passwd" in text, "only suggested: a stranger's script could name anything"
    assert any("big/unnamed.bin" in note for note in survey.notes)
    patterns = draft_files(survey)[".repriseignore"].splitlines()[1:]
    assert patterns == ["/data/", "/big/unnamed.bin", "/weights/w.bin", "/runs/"]


def test_a_folder_of_strangers_is_read_within_bounds(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "train.py").write_text("import stolen\n")
    folder = filled(
        tmp_path / "project", {"train.py": "import a, b, c\n", "huge.py": 5 << 30, "evil.py": "(" * 9999}
    )
    (folder / "a.py").symlink_to(secret / "train.py")
    (folder / "b").symlink_to(secret, target_is_directory=True)
    os.mkfifo(folder / "c.py")
    os.mkfifo(folder / "requirements.txt")
    (folder / "pyproject.toml").symlink_to("/dev/zero")
    (folder / "name\nforged: 1").write_text("")
    (folder / os.fsdecode(b"bad-\xff.py")).write_text("")
    deep = folder
    for _ in range(60):
        deep = deep / "d"
    deep.mkdir(parents=True)
    for number in range(6_000):
        (folder / "d" / f"{number}.txt").touch()
    start = time.monotonic()
    survey = survey_project(folder, BASE)
    assert time.monotonic() - start < 60, "it waited for a FIFO, or read without end"
    assert "stolen" not in survey.hints.imports
    assert survey.needs.file is None
    text = draft_files(survey)["job.yaml"]
    assert "forged" not in text
    assert drafted(survey).command == "python train.py"
    assert any("cannot be source" in note for note in survey.notes)


@pytest.mark.parametrize(
    "script",
    [
        "if a:\n    pass\n" + "elif b:\n    pass\n" * 150,
        "x = " + "+".join(["1"] * 150) + "\n",
        "f" + "(f" * 90 + ")" * 90 + "\n",
        "def f():\n    f()\nf()\n",
        "class A:\n    def m(self):\n        return A().m()\nA().m()\n",
        "import argparse\nfor i in range(9):\n    p = argparse.ArgumentParser(parents=[p])\n",
        "import argparse\np = argparse.ArgumentParser()\np.parents = p\n"
        "p.add_argument('--a', default=2**2**99)\n"
        "p.parse_args()\n",
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--a;rm -rf x', default='b')\n"
        "p.add_argument('--$(id)', type=int, default=1)\np.parse_args()\n",
    ],
)
def test_a_script_that_means_harm_is_only_read(tmp_path: Path, script: str) -> None:
    survey = survey_project(filled(tmp_path, {"train.py": script}) / "train.py", BASE)
    assert drafted(survey).command == "python train.py"


def test_of_much_data_beside_the_code_the_first_is_noted(tmp_path: Path) -> None:
    """Each subject of a study, or each part of a set of data, is a file of its own."""
    holes: dict[str, str | int] = {f"part-{number:03}.npy": 2 << 20 for number in range(40)}
    survey = survey_project(filled(tmp_path, {"train.py": "", **holes}), BASE)
    left_out = [note for note in survey.notes if "left out" in note]
    assert len(left_out) == 11
    assert left_out[-1] == "30 more files and folders of data are left out so"
    assert "/part-039.npy" in draft_files(survey)[".repriseignore"]


def test_thousands_of_loose_files_of_data_are_left_out_by_few_patterns(tmp_path: Path) -> None:
    """More than a .repriseignore may have patterns, and more in one folder than are looked at."""
    holes: dict[str, str | int] = {f"a{number:05}.npy": 1 << 20 for number in range(6_000)}
    holes |= {f"code/b*{number:05}.npy": 1 << 20 for number in range(4_500)}
    files: dict[str, str | int] = {"train.py": "import code.x\n", "code/x.py": "", "code/mean.npy": "small"}
    folder = filled(tmp_path / "project", {**holes, **files, "code/weights.bin": 1 << 20})
    survey = survey_project(folder, BASE)
    text = draft_files(survey)[".repriseignore"]
    assert text.splitlines()[1:] == ["/*.npy", "/code/*.npy", "!/code/mean.npy", "/code/weights.bin"]
    (folder / ".repriseignore").write_text(text)
    found = {file.path for file in read_source(SourceSpec(path=str(folder))).files}
    assert found == {".repriseignore", "train.py", "code/x.py", "code/mean.npy"}
    assert any("not everything in . was looked at" in note for note in survey.notes)


def test_more_data_than_can_be_left_out_is_refused_in_one_message(tmp_path: Path) -> None:
    files = ProjectFiles(tmp_path, folders={"", *(f"s{number}" for number in range(10_001))})
    files.sizes |= {f"s{number}/code.py": 1 for number in range(10_001)}
    files.sizes |= {f"s{number}/a.npy": 1 << 20 for number in range(10_001)}
    with pytest.raises(UsageError, match="10,001 files and folders of data") as raised:
        ignore_patterns(files, find_data(files))
    assert raised.value.hint == "move them into a folder of their own, such as data/"


def test_a_folder_called_as_data_is_not_left_out_with_it(tmp_path: Path) -> None:
    holes: dict[str, str | int] = {f"{number}.pt": 1 << 20 for number in range(100)}
    survey = survey_project(filled(tmp_path, {"train.py": "", "m.pt/model.py": "", **holes}), BASE)
    assert survey.ignored == ("/*.pt", "!/m.pt")


def test_folders_of_data_by_the_thousand_are_told_apart_soon(tmp_path: Path) -> None:
    files = ProjectFiles(tmp_path, folders={""})
    for number in range(5000):
        files.folders |= {f"s{number}", f"s{number}/data"}
        files.sizes |= {f"s{number}/code.py": 1, f"s{number}/data/a.npy": 1, f"s{number}/data/b": 2}
    begun = time.process_time()
    data = find_data(files).data
    assert time.process_time() - begun < 4
    assert len(data) == 5000 == len({item.name for item in data})
    assert [item.name for item in data[:3]] == ["data", "data-2", "data-3"]
    assert {(item.folder, item.size, item.more) for item in data} == {(True, 3, False)}


def test_a_script_of_thousands_of_options_has_a_job_file_that_a_person_can_read(tmp_path: Path) -> None:
    options = "".join(f"p.add_argument('--o{number}', default='{number}')\n" for number in range(3_000))
    survey = survey_project(filled(tmp_path, {"train.py": OPTIONS.format(options)}), BASE)
    assert drafted(survey).params["o499"] == "499"
    assert "o500" not in drafted(survey).params
    assert "#   --o500" in draft_files(survey)["job.yaml"]


def test_options_that_a_script_demands_are_no_text_of_the_command(tmp_path: Path) -> None:
    names = [f"option_with_a_long_name_{number}" for number in range(6)]
    options = "".join(f"p.add_argument('--{name}', required=True)\n" for name in names)
    survey = survey_project(filled(tmp_path, {"train.py": OPTIONS.format(options)}), BASE)
    assert drafted(survey).command.endswith(f"--{names[-1]} {{{names[-1]}}}")
    assert f"\n# params:\n#   {names[0]}:" in draft_files(survey)["job.yaml"]


def test_what_a_project_imports_is_parsed_within_bounds(tmp_path: Path) -> None:
    """One character of a script takes up to 1,000 bytes of memory as a tree."""
    big = "#" * 900_000 + "\nimport torch\n"
    files: dict[str, str | int] = {"train.py": "import a, b, c, d\n"} | dict.fromkeys(
        ("a.py", "b.py", "c.py"), big
    )
    survey = survey_project(filled(tmp_path, files), BASE)
    assert any("not all modules were read" in note for note in survey.notes)
    assert drafted(survey).command == "python train.py"


def test_a_name_that_begins_with_a_dash_is_no_option(tmp_path: Path) -> None:
    files: dict[str, str | int] = {
        "-c.py": "x = '-rf.npy', '-p/w.npy'\n",
        "-rf.npy": 2 << 20,
        "-p/w.npy": 2 << 20,
    }
    assert drafted(survey_project(filled(tmp_path, files), BASE)).command == (
        "mkdir -p ./-p && ln -s /inputs/w.npy ./-p/w.npy && ln -s /inputs/rf.npy ./-rf.npy && python ./-c.py"
    )


@pytest.mark.parametrize(
    "script", ["if a:\n    pass\n" + "elif b:\n    pass\n" * 9000, "x = " + "-" * 90_000 + "1"]
)
def test_what_no_parser_takes_is_refused(tmp_path: Path, script: str) -> None:
    with pytest.raises(UsageError, match="not Python that can be parsed"):
        survey_project(filled(tmp_path, {"train.py": script}), BASE)


WRITTEN = {
    "latin-1, declared": "# -*- coding: latin-1 -*-\nprint('café')\n".encode("latin-1"),
    "latin-1, declared below": "#!/x\n# vim: set fileencoding=cp1252 :\nprint('é€')\n".encode("cp1252"),
    "latin-1, declared beside it": "# café coding: latin-1\nprint('é')\n".encode("latin-1"),
    "latin-1, declared too late": "#\n#\n# coding: latin-1\nprint('é')\n".encode("latin-1"),
    "latin-1, declared below code": "x = 1\n# coding: latin-1\nprint('é')\n".encode("latin-1"),
    "latin-1": "print('café')\n".encode("latin-1"),
    "latin-1 in a comment": "x = 1  # café\n".encode("latin-1"),
    "shift_jis": "# coding: shift_jis\nprint(len('日本表'))\n".encode("shift_jis"),
    "utf-7": b"# coding: utf-7\nprint('+AGE-')\n",
    "with a mark": "print(len('café'))\n".encode("utf-8-sig"),
    "with a mark, declared otherwise": b"\xef\xbb\xbf# coding: latin-1\nprint(1)\n",
    "utf-16": "print('café')\n".encode("utf-16"),
    "ascii, and is not": "# coding: ascii\nprint('é')\n".encode(),
    "an encoding of nobody": b"# coding: foo-9\nprint(1)\n",
    "an encoding of no text": b"# coding: hex\nprint(1)\n",
    "another system's ends of lines": b"import sys\r\nprint(1)\r\n",
    "a zero byte": b"print(1)\n\0\n",
    "nothing": b"",
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_python_runs_is_taken_and_what_it_cannot_read_gets_a_line(tmp_path: Path, name: str) -> None:
    script = tmp_path / "train.py"
    script.write_bytes(WRITTEN[name])
    environ = os.environ | {"PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-S", script], capture_output=True, env=environ, check=False)
    if done.returncode == 0:
        assert drafted(survey_project(script, BASE)).command == "python train.py"
        return
    with pytest.raises(UsageError) as raised:
        survey_project(script, BASE)
    assert raised.value.message.startswith(f"{script}:") and raised.value.hint


def test_a_module_that_cannot_be_parsed_is_named(tmp_path: Path) -> None:
    filled(tmp_path, {"train.py": "import helper, other\n", "other.py": "import scipy\n"})
    (tmp_path / "helper.py").write_bytes("x = 'é'\n".encode("latin-1"))
    survey = survey_project(tmp_path, BASE)
    assert survey.needs.missing == ("scipy",)
    assert any(note.startswith("helper.py is not Python") for note in survey.notes)


def test_a_module_may_be_written_in_any_encoding(tmp_path: Path) -> None:
    filled(tmp_path, {"train.py": "import helper\n", "data.csv": 2 << 20})
    text = "# coding: latin-1\nimport scipy\nx = 'données', 'data.csv'\n"
    (tmp_path / "helper.py").write_bytes(text.encode("latin-1"))
    survey = survey_project(tmp_path, BASE)
    assert survey.needs.missing == ("scipy",)
    assert [item.named for item in survey.surroundings.data] == [True]


def test_a_script_that_is_too_large_to_read_is_taken_with_a_note(tmp_path: Path) -> None:
    filled(tmp_path, {"train.py": "#" * (1 << 20) + "\nprint(1)\n"})
    survey = survey_project(tmp_path, BASE)
    assert drafted(survey).command == "python train.py"
    assert any("larger than 1 MiB" in note for note in survey.notes)


def test_a_link_is_not_a_script(tmp_path: Path) -> None:
    filled(tmp_path, {"real.py": ""})
    (tmp_path / "train.py").symlink_to("real.py")
    with pytest.raises(UsageError, match="not a plain file"):
        survey_project(tmp_path / "train.py", BASE)


@settings(max_examples=tries(600))
@given(
    value=st.one_of(
        st.text().filter(is_writable),
        st.booleans(),
        st.integers(-(1 << 63), (1 << 63) - 1),
        st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_a_value_is_written_as_the_strict_reader_reads_it(value: object) -> None:
    node, problems = read_yaml(f"a: {scalar(value)}\n", "job.yaml")  # type: ignore[arg-type]
    assert (problems, node.value["a"].value) == ([], value)  # type: ignore[union-attr]
