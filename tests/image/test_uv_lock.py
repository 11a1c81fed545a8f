"""A uv.lock as it stands in a project, and as a stranger may write it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import tries

from orchestrator.errors import UsageError
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.wheels.lock import Pin
from orchestrator.image.wheels.read_lock import locked_file, read_lock

A, B, C = "a" * 64, "b" * 64, "c" * 64
INDEX = 'source = { registry = "https://index.example/simple" }'
HEAD = """\
version = 1
revision = 3
requires-python = ">=3.11"
[[package]]
name = "lab"
version = "0.1.0"
source = { editable = "." }
"""


def package(name: str, version: str, *needs: str, wheel: str = "py3-none-any") -> str:
    other = f"https://files.example/{name.replace('-', '_')}-{version}-cp311-cp311-win_amd64.whl"
    file = f"https://files.example/x/{name.replace('-', '_')}-{version.replace('+', '%2B')}-{wheel}.whl"
    return f"""\
[[package]]
name = "{name}"
version = "{version}"
{INDEX}
dependencies = [{", ".join(needs)}]
sdist = {{ url = "https://files.example/{name}.tar.gz", hash = "sha256:{C}" }}
wheels = [{{ url = "{file}", hash = "sha256:{A}", size = 1 }},
  {{ url = "{other}", hash = "sha256:{B}" }}]
"""


LOCK = (
    HEAD
    + """\
dependencies = [
  { name = "torch" }, { name = "trainer", extra = ["log"] }, { name = "numpy" },
  { name = "winonly", marker = "sys_platform == 'win32'" },
]
[package.dev-dependencies]
dev = [{ name = "checker" }]
[package.optional-dependencies]
plot = [{ name = "checker" }]
"""
    + package("torch", "2.13.0", '{ name = "nvidia-cublas" }', '{ name = "sympy" }')
    + package("nvidia-cublas", "13.1")
    + package("sympy", "1.14.0")
    + package("trainer", "1.0", '{ name = "torch" }')
    + '[package.optional-dependencies]\nlog = [{ name = "tqdm" }]\n'
    + package("tqdm", "4.0")
    + package("winonly", "1.0")
    + package("numpy", "1.26.4")
    + package("checker", "1.0")
)


def write(folder: Path, text: str, name: str = "uv.lock") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_a_project_s_lock_is_read_for_the_base(tmp_path: Path, python: PythonFacts) -> None:
    """torch is the base's, so what it needs is there; NumPy is another version, so it is brought."""
    lock = read_lock(write(tmp_path, LOCK), python)
    assert lock.pins == (
        Pin(name="numpy", version="1.26.4", sha256=(A,)),
        Pin(name="tqdm", version="4.0", sha256=(A,)),
        Pin(name="trainer", version="1.0", sha256=(A,)),
    )
    assert (lock.index, lock.more_indexes, lock.pages, lock.folders) == (None, (), (), ())


def test_a_pyproject_stands_for_the_lock_beside_it(tmp_path: Path) -> None:
    path = write(tmp_path, "[project]\n", "pyproject.toml")
    with pytest.raises(UsageError, match="is not locked"):
        locked_file(path)
    assert locked_file(path.with_name("uv.lock")) == path.with_name("uv.lock")
    write(tmp_path, LOCK)
    assert locked_file(path) == tmp_path / "uv.lock"


def test_another_pytorch_than_the_base_s_is_a_clash(tmp_path: Path, python: PythonFacts) -> None:
    text = HEAD + 'dependencies = [{ name = "torch" }]\n' + package("torch", "2.9.1")
    with pytest.raises(UsageError, match=r"torch 2\.9\.1 is locked, and the base has 2\.13\.0") as caught:
        read_lock(write(tmp_path, text), python)
    assert "reprise base new NAME --requirement torch==2.9.1" in (caught.value.hint or "")


FROM_GIT = '[[package]]\nname = "x"\nversion = "1"\nsource = { git = "https://user:pw@host/r" }\n'
SEVERAL = package("x", "1.0") + package("x", "2.0")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version = 2\n", "a lock of another form"),
        ("version = 1\n", "no project in it"),
        (HEAD.replace(">=3.11", ">=3.12"), "is locked for Python >=3.12, and the base has 3.11.2"),
        (HEAD.replace(">=3.11", "<3.11"), "is locked for Python <3.11, and the base has 3.11.2"),
        (HEAD.replace(">=3.11", "three"), "not versions of Python: 'three'"),
        ("version = ", "not TOML"),
        ("a." * 100 + "b = 1", "more than 32 parts"),
        (HEAD + 'dependencies = [{ name = "absent" }]\n', "0 packages of the lock are meant"),
        (HEAD + 'dependencies = [{ name = "x" }]\n' + SEVERAL, "2 packages of the lock are meant"),
        (HEAD + "dependencies = [3]\n", "a dependency without a name"),
        (HEAD + 'dependencies = [{ name = "x", marker = "odd == 1" }]\n', "a marker that cannot be"),
        (HEAD + 'dependencies = [{ name = "x" }]\n' + FROM_GIT, "comes from no package index"),
        (
            HEAD + 'dependencies = [{ name = "x" }]\n' + package("x", "1.0", wheel="cp312-cp312-win32"),
            "no wheel with a SHA-256 for Python 3.11.2",
        ),
        (HEAD + 'dependencies = [{ name = "--evil" }]\n' + package("--evil", "1.0"), "no wheel"),
        (HEAD + 'dependencies = [{ name = "x" }]\n' + package("x", "1.0 --pre"), "no wheel"),
    ],
)
def test_a_lock_that_cannot_be_taken(tmp_path: Path, python: PythonFacts, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        read_lock(write(tmp_path, text), python)
    assert "pw" not in caught.value.message


def test_packages_that_need_each_other_end(tmp_path: Path, python: PythonFacts) -> None:
    text = HEAD + 'dependencies = [{ name = "a" }]\n' + package("a", "1.0", '{ name = "b" }')
    text += package("b", "1.0", '{ name = "a" }', '{ name = "lab" }')
    assert [pin.name for pin in read_lock(write(tmp_path, text), python).pins] == ["a", "b"]


@given(st.data())
@settings(max_examples=tries(400), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_lock_is_read_or_refused(tmp_path: Path, python: PythonFacts, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(LOCK)))
    length = data.draw(st.integers(0, 40))
    text = LOCK[:place] + data.draw(st.text(max_size=20)) + LOCK[place + length :]
    path = tmp_path / "uv.lock"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        pins = read_lock(path, python).pins
    except UsageError as error:
        assert len(error.message) < 20_000
    else:
        assert len({pin.name for pin in pins}) == len(pins)


def test_a_lock_whose_extras_multiply_is_refused_soon(tmp_path: Path, python: PythonFacts) -> None:
    """Each of 2,000 sets of extras is another visit, and each visit has 2,000 dependencies."""
    count = range(2000)
    wanted = ", ".join(f'{{ name = "spam", extra = ["e{number}"] }}' for number in count)
    text = f"{HEAD}dependencies = [{wanted}]\n" + package(
        "spam", "1.0", *('{ name = "spam" }' for _ in count)
    )
    with pytest.raises(UsageError, match="dependencies to follow"):
        read_lock(_written(tmp_path, text), python)


def test_a_lock_with_hundreds_of_one_name_is_refused(tmp_path: Path, python: PythonFacts) -> None:
    text = f"{HEAD}dependencies = []\n" + "".join(package("spam", f"{number}.0") for number in range(200))
    with pytest.raises(UsageError, match="packages are called 'spam'"):
        read_lock(_written(tmp_path, text), python)


def _written(folder: Path, text: str) -> Path:
    path = folder / "uv.lock"
    path.write_text(text)
    return path
