"""The files that people list packages in: what is read, what is left out and said, what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.base_python import PYTHON
from support.examples import tries

from orchestrator.errors import UsageError
from orchestrator.launch.locking.lock_requirements import read_lines
from orchestrator.launch.locking.lock_target import LockTarget
from orchestrator.launch.locking.sources.conda_file import read_conda_file
from orchestrator.launch.locking.sources.pip_file import read_pip_file
from orchestrator.launch.locking.sources.project_file import read_pyproject, read_setup_cfg
from orchestrator.launch.locking.sources.project_sources import find_sources, is_locked, read_sources

HASH = "a" * 64


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


# pip


def test_a_requirements_file_with_what_people_write_into_it(tmp_path: Path) -> None:
    write(tmp_path, "base.txt", "numpy\n-r more/other.txt\n")
    write(tmp_path, "more/other.txt", "-r ../base.txt\ntqdm>=4  # a comment\n")
    write(tmp_path, "limits.txt", "numpy<3\n")
    path = write(
        tmp_path,
        "requirements.txt",
        "\ufeff# packages\n--extra-index-url https://user:pw@host/whl/cu118\n-f wheels\n-r base.txt\n"
        "-cbase2.txt\n"
        "--constraint=limits.txt\n-e .[dev]\n.\n--pre\nScikit_Learn [x] >= 1 ; python_version > '3'\n"
        f"locked==1.0 \\\n    --hash=sha256:{HASH}\n",
    )
    write(tmp_path, "base2.txt", "tqdm<5")
    found = read_pip_file(path)
    assert found.lines == ("numpy", "tqdm>=4", "Scikit_Learn [x] >= 1 ; python_version > '3'", "locked==1.0")
    assert found.limits == ("tqdm<5", "numpy<3")
    said = " ".join(found.notes)
    assert "--extra-index-url is left out" in said
    assert "-f is left out" in said
    assert "pw" not in said
    assert ".[dev] is the job's own source" in said


@pytest.mark.parametrize(
    "line",
    [
        *("-r ../outside.txt", "-r /etc/passwd", "-e git+https://host/r", "-e ../other", "-r", "--odd x"),
        *("$HOME", "a==${V}", "a\x00b", "-r link.txt", "-c folder", "--global-option=x"),
    ],
)
def test_a_line_that_leads_elsewhere_is_refused(tmp_path: Path, line: str) -> None:
    write(tmp_path, "outside.txt", "evil")
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "folder").mkdir()
    (folder / "link.txt").symlink_to("/etc/passwd")
    with pytest.raises(UsageError):
        read_pip_file(write(folder, "requirements.txt", f"fine\n{line}\n"))


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "other.txt")
    with pytest.raises(UsageError, match="not a plain file"):
        read_pip_file(write(tmp_path, "requirements.txt", "-r other.txt\n"))


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda data: data.decode("latin-1")))
@settings(max_examples=tries(800), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_read_or_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "requirements.txt"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    for name, read in (
        ("requirements.txt", read_pip_file),
        ("environment.yml", lambda path: read_conda_file(path, PYTHON)),
        ("pyproject.toml", lambda path: read_pyproject(path, PYTHON)),
        ("setup.cfg", lambda path: read_setup_cfg(path, PYTHON)),
    ):
        path = path.rename(tmp_path / name)
        try:
            read(path)
        except UsageError as error:
            assert len(error.message) < 20_000
            assert "\x1b" not in error.message


def test_a_file_of_limits_may_be_one_of_requirements_too(tmp_path: Path) -> None:
    write(tmp_path, "base.txt", "six==1.16.0\n")
    found = read_pip_file(
        write(tmp_path, "requirements.txt", "-c base.txt\n-r base.txt\n-r requirements.txt\n")
    )
    assert (found.lines, found.limits) == (("six==1.16.0",), ("six==1.16.0",))


def test_a_line_that_is_no_requirement_is_named_with_its_file_and_number(tmp_path: Path) -> None:
    write(tmp_path, "more.txt", "\nsix=1.16\ngit+https://user:pw@host/r\n")
    with pytest.raises(UsageError) as raised:
        read_pip_file(write(tmp_path, "requirements.txt", "-r more.txt\nnumpy scipy\n"))
    said = raised.value.message
    assert "more.txt, line 2: not a requirement: 'six=1.16' (one version is written with ==)" in said
    assert "more.txt, line 3: " in said
    assert "requirements.txt, line 2: not a requirement: 'numpy scipy'" in said
    assert "pw" not in said


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_what_powershell_writes_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "requirements.txt"
    path.write_bytes("\ufeffsix==1.16.0\r\nnumpy\r\n".encode(encoding))
    assert read_pip_file(path).lines == ("six==1.16.0", "numpy")
    environment = tmp_path / "environment.yml"
    environment.write_bytes("\ufeffname: x\r\ndependencies:\r\n- six=1.16.0\r\n".encode(encoding))
    assert read_conda_file(environment, PYTHON).lines == ("six==1.16.0.*",)


LISTS = {
    "requirements.txt": "# café\nsix\n",
    "environment.yml": "# café\nname: x\ndependencies:\n- six\n",
    "pyproject.toml": "# café\n[project]\nname = 'x'\ndependencies = ['six']\n",
    "setup.cfg": "# café\n[options]\ninstall_requires =\n  six\n",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_packages_is_read_or_refused_with_its_line(
    tmp_path: Path, name: str, encoding: str
) -> None:
    path = tmp_path / name
    path.write_bytes(LISTS[name].replace("\n", "\r\n").encode(encoding))
    try:
        assert read_sources(find_sources(path, None), PYTHON, (), ()).lines == ("six",)
    except UsageError as error:
        assert name in ("pyproject.toml", "setup.cfg") and not encoding.startswith("utf-8")
        assert (error.message, error.hint) == (f"{path}:1: this is not UTF-8 text", "save it as UTF-8")


def test_pre_releases_are_not_taken_for_all_and_that_is_said(tmp_path: Path) -> None:
    assert "--pre is left out" in read_pip_file(write(tmp_path, "r.txt", "--pre\nsix\n")).notes[0]


@pytest.mark.parametrize("name", ["a\\u0000b", "x" * 5000, "loop", "../outside.txt", "/etc/passwd"])
def test_a_file_that_leads_elsewhere_is_refused_in_every_form(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    project = (
        f'[project]\ndynamic=["dependencies"]\n[tool.setuptools.dynamic]\ndependencies={{file="{name}"}}\n'
    )
    with pytest.raises(UsageError):
        read_pyproject(write(tmp_path, "pyproject.toml", project), PYTHON)
    with pytest.raises(UsageError):
        read_conda_file(write(tmp_path, "environment.yml", f'dependencies: [{{pip: ["-r {name}"]}}]'), PYTHON)
    with pytest.raises(UsageError):
        text = f"[options]\ninstall_requires = file: {name}\n"
        read_setup_cfg(write(tmp_path, "setup.cfg", text), PYTHON)


@pytest.mark.parametrize("name", ["x/" + "y" * 5000, "loop", "../new.lock", "/etc/new.lock", "out/new.lock"])
def test_a_job_file_says_no_place_outside_of_its_source(tmp_path: Path, name: str) -> None:
    job = tmp_path / "job"
    write(job, "requirements.in", "six\n")
    write(job, "job.yaml", f"command: x\nrequirements: {name}\n")
    (job / "loop").symlink_to("loop")
    (job / "out").symlink_to("/etc")
    with pytest.raises(UsageError, match="leads outside"):
        find_sources(job, None)
    if name == "../new.lock":
        (tmp_path / ".git").mkdir()
        assert find_sources(job, None).output.resolve() == tmp_path / "new.lock"


# conda


def test_a_conda_environment(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "environment.yml",
        """\
name: lab
channels: [pytorch, conda-forge, defaults]
dependencies:
  - python=3.9
  - pytorch::pytorch=2.1
  - pytorch-cuda=12.1
  - cudatoolkit
  - numpy=1.26.4=py311h64a7726_0
  - scikit-learn>=1.3,<2
  - pandas 2.*
  - py-opencv
  - libgcc-ng=13.2.0
  - librosa
  - pip
  - pip:
    - transformers==4.40.0
    - -r extra.txt
prefix: /home/somebody/lab
""",
    )
    write(tmp_path, "extra.txt", "tqdm\n")
    found = read_conda_file(path, PYTHON)
    assert found.lines == (
        "torch==2.1.*",
        "numpy==1.26.4",
        "scikit-learn>=1.3,<2",
        "pandas==2.*",
        "opencv-python-headless",
        "librosa",
        "transformers==4.40.0",
        "tqdm",
    )
    assert found.notes == (
        "it asks for Python 3.9; the base has 3.11.2",
        "left out, because pip has no such package: pytorch-cuda, cudatoolkit, libgcc-ng",
    )


@pytest.mark.parametrize(
    "text",
    ["dependencies: 3", "[]", "", "dependencies: [numpy|scipy]", "a: &b [*b]", "dependencies: [{x: [y]}]"],
)
def test_what_is_no_environment(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError):
        read_conda_file(write(tmp_path, "environment.yml", text), PYTHON)


def test_a_long_entry_is_refused_at_once(tmp_path: Path) -> None:
    entry = f"six >=1{' ' * 1_000_000}x"
    with pytest.raises(UsageError, match="line 1: not a package"):
        read_conda_file(write(tmp_path, "environment.yml", f'dependencies: ["{entry}"]'), PYTHON)


# Python projects


_ODD_VALUES = ["5", "true", '"text"', "[1]", "[[]]", "{a = 1}", "1979-05-27", f'"^{"1" * 5000}"', '"\\u001b"']
_KEYS = ["project", "project.dynamic", "project.dependencies", "project.optional-dependencies"]
_KEYS += [
    "project.optional-dependencies.x",
    "dependency-groups",
    "dependency-groups.x",
    "tool",
    "tool.poetry",
]
_KEYS += [
    "tool.uv.sources",
    "tool.setuptools.dynamic",
    "tool.poetry.dependencies",
    "tool.poetry.dependencies.six",
]
_KEYS += [
    "tool.poetry.group",
    "tool.poetry.group.x",
    "tool.poetry.extras.x",
    "tool.poetry.dependencies.six.version",
]


@pytest.mark.parametrize("value", _ODD_VALUES)
@pytest.mark.parametrize("key", _KEYS)
def test_any_value_at_any_key_is_read_or_refused(tmp_path: Path, key: str, value: str) -> None:
    text = f"{key} = {value}\n"
    if not key.startswith(("project.dyn", "tool.poetry")) and key != "project":
        text = f'project.dynamic = ["dependencies"]\n{text}'
    write(tmp_path, "pyproject.toml", text)
    for extras, groups in (((), ()), (("x",), ()), ((), ("x",))):
        try:
            lines = read_sources(find_sources(tmp_path, None), PYTHON, extras, groups).lines
            read_lines(lines, LockTarget(base="cpu", python=PYTHON))
        except UsageError as error:
            assert "\x1b" not in error.message


def test_groups_that_include_each_other_often_are_read_once(tmp_path: Path) -> None:
    """Each of 40 groups includes the one before twice: 2^40 lines, were each followed each time."""
    groups = "".join(
        f"g{n} = [{{include-group = 'g{n - 1}'}}, {{include-group = 'g{n - 1}'}}]\n" for n in range(1, 40)
    )
    path = write(
        tmp_path, "pyproject.toml", f"[project]\nname = 'x'\n[dependency-groups]\ng0 = ['six']\n{groups}"
    )
    assert read_pyproject(path, PYTHON, groups=["g39", "g38"]).lines == ("six",)


def test_a_project_with_extras_and_groups(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "pyproject.toml",
        """\
[project]
name = "x"
dependencies = ["numpy>=2", "tqdm"]
[project.optional-dependencies]
Plot_It = ["matplotlib"]
[dependency-groups]
train = ["rich", {include-group = "log"}]
log = ["wandb"]
loop = [{include-group = "loop"}]
[tool.uv.sources]
torch = {index = "cpu"}
""",
    )
    assert read_pyproject(path, PYTHON).lines == ("numpy>=2", "tqdm")
    assert "tool.uv.sources.torch is left out" in read_pyproject(path, PYTHON).notes[0]
    assert read_pyproject(path, PYTHON, ["plot-it"], ["train"]).lines == (
        "numpy>=2",
        "tqdm",
        "matplotlib",
        "rich",
        "wandb",
    )
    with pytest.raises(UsageError, match="no extra 'nope'"):
        read_pyproject(path, PYTHON, ["nope"])
    with pytest.raises(UsageError, match="include each other"):
        read_pyproject(path, PYTHON, [], ["loop"])


def test_dependencies_that_setuptools_reads_from_a_file(tmp_path: Path) -> None:
    write(tmp_path, "requirements.txt", "numpy\n")
    text = (
        '[project]\nname="x"\ndynamic=["dependencies"]\n[tool.setuptools.dynamic]\ndependencies={{file={}}}\n'
    )
    path = write(tmp_path, "pyproject.toml", text.format('["requirements.txt"]'))
    assert read_pyproject(path, PYTHON).lines == ("numpy",)
    with pytest.raises(UsageError, match="does not lie beside it"):
        read_pyproject(write(tmp_path, "pyproject.toml", text.format('"../x.txt"')), PYTHON)


def test_a_project_of_poetry(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "pyproject.toml",
        """\
[tool.poetry.dependencies]
python = "^3.9"
numpy = "^1.26"
old = "^0.2.3"
tqdm = "~4.66"
any = "*"
exact = "1.2.3"
star = "2.*"
both = ">=1,<2"
rich = {version = "^13", extras = ["jupyter"], markers = "python_version > '3'"}
torch = {version = "2.1.0", optional = true}
[tool.poetry.extras]
gpu = ["torch"]
[tool.poetry.group.dev.dependencies]
pytest = "*"
""",
    )
    lines = (
        *("numpy>=1.26,<2", "old>=0.2.3,<0.3", "tqdm>=4.66,<4.67", "any", "exact==1.2.3", "star==2.*"),
        *("both>=1,<2", "rich[jupyter]>=13,<14; python_version > '3'"),
    )
    assert read_pyproject(path, PYTHON).lines == lines
    assert read_pyproject(path, PYTHON, ["gpu"], ["dev"]).lines == (*lines, "torch==2.1.0", "pytest")
    with pytest.raises(UsageError, match="comes from no package index"):
        text = '[tool.poetry.dependencies]\nx = {git = "https://h/r"}\n'
        read_pyproject(write(tmp_path, "pyproject.toml", text), PYTHON)


def test_a_setup_cfg(tmp_path: Path) -> None:
    text = (
        "[options]\ninstall_requires =\n  numpy>=1\n  # no\n  tqdm\n[options.extras_require]\ndev = pytest\n"
    )
    path = write(tmp_path, "setup.cfg", text)
    assert read_setup_cfg(path, PYTHON).lines == ("numpy>=1", "tqdm")
    assert read_setup_cfg(path, PYTHON, ["dev"]).lines == ("numpy>=1", "tqdm", "pytest")
    write(tmp_path, "needs.txt", "six\n")
    path.write_text("[options]\ninstall_requires = file: needs.txt\n")
    assert read_setup_cfg(path, PYTHON).lines == ("six",)


# each form: nothing is lost without a word, and nothing of the job's own is looked for in an index

LINES = ["-r more.txt", "-cmost.txt", "-e .[dev]", "--extra-index-url https://h/whl", "six==1.16.0"]
FORMS = {
    "requirements.txt": "\n".join(LINES),
    "environment.yml": f"dependencies: [{{pip: {json.dumps(LINES)}}}]",
    "pyproject.toml": '[project]\nname="x"\ndynamic=["dependencies"]\n'
    '[tool.setuptools.dynamic]\ndependencies={file="lines.txt"}\n',
    "setup.cfg": "[options]\ninstall_requires = file: lines.txt\n",
}


@pytest.mark.parametrize("name", FORMS)
def test_lines_for_pip_mean_the_same_in_every_form(tmp_path: Path, name: str) -> None:
    write(tmp_path, "lines.txt", "\n".join(LINES))
    write(tmp_path, "more.txt", "tqdm\n-c least.txt\n")
    write(tmp_path, "most.txt", "numpy<3\n")
    write(tmp_path, "least.txt", "numpy>=2\n")
    found = read_sources(find_sources(write(tmp_path, name, FORMS[name]), None), PYTHON, (), ())
    assert found.lines == ("tqdm", "six==1.16.0")
    assert found.limits == ("numpy>=2", "numpy<3")
    assert ".[dev] is the job's own source" in found.notes[0]
    assert "--extra-index-url is left out" in found.notes[1]


@pytest.mark.parametrize("line", ["-e .[dev,more]", ".[dev, more]", "--editable=./[dev,more]", "-e ./"])
@pytest.mark.parametrize("project", ["pyproject.toml", "setup.cfg", None])
def test_what_the_project_itself_needs_is_locked_where_a_file_asks_for_it(
    tmp_path: Path, line: str, project: str | None
) -> None:
    texts = {
        "pyproject.toml": "[project]\nname = 'x'\ndependencies = ['numpy']\n"
        "optional-dependencies = {dev = ['tqdm'], more = ['rich']}\n",
        "setup.cfg": "[options]\ninstall_requires = numpy\n"
        "[options.extras_require]\ndev = tqdm\nmore = rich\n",
    }
    if project is not None:
        write(tmp_path, project, texts[project])
    for path in (
        write(tmp_path, "requirements.txt", f"six\n{line}\n"),
        write(tmp_path, "environment.yml", f"dependencies: [six, {{pip: ['{line}']}}]"),
    ):
        found = read_sources(find_sources(path, None), PYTHON, (), ())
        extras = ("tqdm", "rich") if "dev" in line else ()
        assert found.lines == ("six", *(("numpy", *extras) if project is not None else ()))
        told = "no pyproject.toml or setup.cfg in" in found.notes[-1]
        assert told is (project is None)


@pytest.mark.parametrize("entry", ["1.0", "-e ../other", "--odd x", "a b", "-r"])
def test_a_line_for_pip_in_an_environment_is_taken_or_refused(tmp_path: Path, entry: str) -> None:
    path = write(tmp_path, "environment.yml", f"dependencies:\n- six\n- pip:\n  - {entry}\n")
    with pytest.raises(UsageError, match="line 4"):
        read_conda_file(path, PYTHON)


def test_a_version_in_brackets_is_not_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path, "environment.yml", "dependencies: [\"numpy[version='<2']\"]")
    with pytest.raises(UsageError, match="line 1: numpy: what stands in brackets is not read"):
        read_conda_file(path, PYTHON)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "pyproject.toml",
            "[project]\nname = 'My.Job'\ndependencies = ['numpy']\n[project.optional-dependencies]\n"
            "all = ['my-job[train,plot]', 'MY_JOB[all]']\ntrain = ['six']\n"
            "plot = [\"my_job[draw]; os_name == 'posix'\"]\ndraw = ['tqdm', \"rich; os_name == 'nt'\"]\n",
        ),
        (
            "setup.cfg",
            "[metadata]\nname = My.Job\n[options]\ninstall_requires = numpy\n[options.extras_require]\n"
            "all =\n  my-job[train,plot]\n  MY_JOB[all]\ntrain = six\n"
            "plot = my_job[draw]; os_name == 'posix'\ndraw =\n  tqdm\n  rich; os_name == 'nt'\n",
        ),
    ],
)
def test_a_project_that_names_itself_is_not_looked_for_in_an_index(
    tmp_path: Path, name: str, text: str
) -> None:
    found = read_sources(find_sources(write(tmp_path, name, text), None), PYTHON, ("all",), ())
    wanted = read_lines(found.lines, LockTarget(base="cpu", python=PYTHON))
    assert sorted(one.name for one in wanted) == ["numpy", "six", "tqdm"]
    assert "My.Job is the job's own source, and is not installed" in found.notes


def test_extras_that_include_each_other_end(tmp_path: Path) -> None:
    some = ", ".join(f"\"x[a{n}]; platform_release != '{n}'\"" for n in range(30))
    extras = "".join(f"a{n} = [{some}]\n" for n in range(30))
    text = f"[project]\nname = 'x'\n[project.optional-dependencies]\n{extras}"
    with pytest.raises(UsageError, match="more than 500 extras"):
        read_pyproject(write(tmp_path, "pyproject.toml", text), PYTHON, ["a0"])


@pytest.mark.parametrize(
    ("source", "refused"),
    [
        ("{ path = '../own-lib' }", True),
        ("{ workspace = true }", True),
        ("{ git = 'https://h/r' }", True),
        ("[{ index = 'mine' }, { url = 'https://h/x.whl', marker = \"os_name == 'posix'\" }]", True),
        ("[{ index = 'mine' }, { url = 'https://h/x.whl', marker = \"os_name == 'nt'\" }]", False),
        ("{ index = 'mine' }", False),
    ],
)
@pytest.mark.parametrize("table", ["tool.uv.sources", "tool.poetry.dependencies"])
def test_what_a_project_takes_from_elsewhere_is_not_looked_for_in_an_index(
    tmp_path: Path, source: str, refused: bool, table: str
) -> None:
    text = f"[{table}]\nown-lib = {source}\nother = {{ path = 'a' }}\n"
    text = f"[project]\nname = 'x'\ndependencies = ['Own_Lib>=1']\n{text}"
    path = write(tmp_path, "pyproject.toml", text)
    if refused:
        with pytest.raises(UsageError, match="Own_Lib comes from no package index"):
            read_pyproject(path, PYTHON)
    else:
        assert read_pyproject(path, PYTHON).lines == ("Own_Lib>=1",)


def test_limits_of_uv_hold(tmp_path: Path) -> None:
    text = "[project]\nname = 'x'\ndependencies = ['six']\n[tool.uv]\nconstraint-dependencies = ['numpy<2']\n"
    found = read_pyproject(
        write(tmp_path, "pyproject.toml", f"{text}override-dependencies = ['six==1']\n"), PYTHON
    )
    assert found.limits == ("numpy<2",)
    assert "tool.uv.override-dependencies is left out" in found.notes[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", "[project]\nname = 'x'\ndependencies = ['six']\nrequires-python = '{}'\n"),
        ("pyproject.toml", "[tool.poetry.dependencies]\nsix = '*'\npython = '{}'\n"),
        ("setup.cfg", "[options]\ninstall_requires = six\npython_requires = {}\n"),
    ],
)
def test_another_python_than_the_base_s_is_noted(tmp_path: Path, name: str, text: str) -> None:
    def notes(versions: str) -> tuple[str, ...]:
        path = write(tmp_path, name, text.format(versions))
        return read_sources(find_sources(path, None), PYTHON, (), ()).notes

    assert notes(">=3.12") == (f"{name} asks for Python >=3.12; the base has 3.11.2",)
    assert notes(">=3.9,<3.12") == ()
    assert notes("nonsense") == ()
    if "poetry" in text:
        assert notes("^3.12") == (f"{name} asks for Python >=3.12,<4; the base has 3.11.2",)
        assert notes("3.11") == notes("~3.11") == ()


# which file, and where to


def test_the_file_that_is_there_is_found(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file that lists packages"):
        find_sources(tmp_path, None)
    write(tmp_path, "environment.yml", "dependencies: [numpy]")
    assert _names(tmp_path) == ["environment.yml"]
    write(tmp_path, "pyproject.toml", '[project]\nname="x"\ndependencies=["numpy"]\n')
    assert _names(tmp_path) == ["pyproject.toml"]
    write(tmp_path, "requirements.txt", "numpy")
    assert _names(tmp_path) == ["requirements.txt"]
    write(tmp_path, "requirements.in", "tqdm")
    assert _names(tmp_path) == ["requirements.txt", "requirements.in"]
    write(
        tmp_path, "requirements.lock", "# Locked by `reprise lock` from environment.yml for Python 3.11, x\n"
    )
    assert _names(tmp_path) == ["environment.yml", "requirements.in"]
    write(tmp_path, "requirements.lock", "# Locked by `reprise lock` from ../../x for Python 3.11, x\n")
    assert _names(tmp_path) == ["requirements.txt", "requirements.in"]


def _names(folder: Path) -> list[str]:
    return [path.name for path in find_sources(folder, None).files]


def test_the_job_file_says_the_base_and_where_the_lock_goes(tmp_path: Path) -> None:
    write(tmp_path, "requirements.in", "numpy")
    job = write(
        tmp_path, "train.yaml", "name: x\nbase: cuda\ncommand: python x.py\nrequirements: locks/a.txt\n"
    )
    found = find_sources(job, None)
    assert (found.base, found.output, found.named) == ("cuda", tmp_path / "locks/a.txt", True)
    assert find_sources(tmp_path, None).output == tmp_path / "requirements.lock"
    job.write_text("name: x\ncommand: python x.py\nrequirements: plain.txt\n")
    write(tmp_path, "plain.txt", "tqdm\n")
    found = find_sources(job, None)
    assert [path.name for path in found.files] == ["plain.txt", "requirements.in"]
    assert (found.output.name, found.named) == ("requirements.lock", False)


def test_what_is_locked_already_is_told(tmp_path: Path) -> None:
    assert is_locked(write(tmp_path, "r.txt", f"a==1 --hash=sha256:{HASH}"))
    assert not is_locked(write(tmp_path, "s.txt", "a==1"))
    assert is_locked(
        write(tmp_path, "t.txt", "# Locked by `reprise lock` for Python 3.11, x86_64; nothing.\n")
    )
    for name in ("train.py", "train.ipynb"):
        with pytest.raises(UsageError, match="does not list packages"):
            read_sources(find_sources(write(tmp_path, name, "{}"), None), PYTHON, (), ())
    for extras, groups in ((("x",), ()), ((), ("x",))):
        with pytest.raises(UsageError, match="has no extras or groups"):
            read_sources(find_sources(tmp_path / "s.txt", None), PYTHON, extras, groups)
    path = write(tmp_path, "uv.lock", "")
    with pytest.raises(UsageError, match="is locked already"):
        read_sources(find_sources(path, None), PYTHON, (), ())
    path = write(tmp_path, "setup.py", "import os")
    with pytest.raises(UsageError, match="is a program"):
        read_sources(find_sources(path, None), PYTHON, (), ())
