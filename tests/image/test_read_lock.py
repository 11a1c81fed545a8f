from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.packages.base_packages import BaseClashError
from orchestrator.image.wheels.lock import Pin
from orchestrator.image.wheels.pip_download import requirement
from orchestrator.image.wheels.read_lock import locked_file, read_lock
from orchestrator.image.wheels.wheel_target import marker_environment, platforms, tags

A, B = "a" * 64, "b" * 64


def lock(tmp_path: Path, text: str, name: str = "requirements.txt") -> Path:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def test_a_locked_file_is_read(tmp_path: Path, python: PythonFacts) -> None:
    path = lock(
        tmp_path,
        f"""\
# made by a tool
--index-url https://user:pw@index.example/simple  # the team's
--find-links wheels
--only-binary :all:

Numpy==2.4.6 \\
    --hash=sha256:{B} \\
    --hash=sha256:{A}
    # via scipy
ruamel_yaml[jinja2]==0.19.1 --hash sha256:{A}
windows-only==1.0 ; sys_platform == "win32" \\
    --hash=sha256:{A}
tomli==2.0 ; python_version < "3.11" --hash=sha256:{A}
exceptiongroup==1.0 ; python_full_version >= "3.11.2" and platform_machine == "x86_64" --hash=sha256:{A} \\
    --hash=sha512:{A}{B}
torch==2.13.0+cpu --hash=sha256:{A}""",
    )
    found = read_lock(path, python)
    assert found.index == "https://user:pw@index.example/simple"
    assert found.folders == (tmp_path / "wheels",)
    assert (found.more_indexes, found.pages, found.no_index) == ((), (), False)
    assert found.pins == (
        Pin(name="exceptiongroup", version="1.0", sha256=(A,)),
        Pin(name="numpy", version="2.4.6", sha256=(A, B)),
        Pin(name="ruamel-yaml", version="0.19.1", sha256=(A,)),
        Pin(name="torch", version="2.13.0+cpu", sha256=(A,)),
    )
    assert requirement(found.pins[1]) == f"numpy==2.4.6 --hash=sha256:{A} --hash=sha256:{B}"


def test_markers_are_of_the_target_and_not_of_this_machine(python: PythonFacts, tmp_path: Path) -> None:
    other = python.model_copy(update={"version": "3.13.1"})
    path = lock(
        tmp_path,
        f'a==1 ; python_version < "3.13" --hash=sha256:{A}\n'
        f'a==2 ; python_version >= "3.13" --hash=sha256:{A}\n',
    )
    assert [pin.version for pin in read_lock(path, python).pins] == ["1"]
    assert [pin.version for pin in read_lock(path, other).pins] == ["2"]


def test_every_marker_variable_is_given(python: PythonFacts) -> None:
    from packaging.markers import default_environment

    assert default_environment().keys() <= marker_environment(python).keys()


def test_all_problems_come_at_once_with_their_lines(tmp_path: Path, python: PythonFacts) -> None:
    path = lock(
        tmp_path,
        f"""\
good==1 --hash=sha256:{A}
loose>=1 --hash=sha256:{A}
bare==1
wild==1.* --hash=sha256:{A}
two==1,<2 --hash=sha256:{A}
md5==1 --hash=md5:{A}
short==1 --hash=sha256:abc
link @ https://files.example/x.whl --hash=sha256:{A}
./local.whl
-r other.txt
-e .
--no-binary :all:
good==2 --hash=sha256:{A}
nothing \\
    --hash=sha256:{A}
""",
    )
    with pytest.raises(UsageError) as caught:
        read_lock(path, python)
    lines = caught.value.message.splitlines()
    assert lines[0] == f"{path} cannot be used:"
    starts = [line.strip().partition(" (")[0] for line in lines[1:]]
    assert starts == [
        "line 2: loose: not pinned with ==",
        "line 3: bare: no --hash=sha256:",
        "line 4: wild: not pinned with ==",
        "line 5: two: not pinned with ==",
        "line 6: md5: no valid --hash=sha256:",
        "line 7: short: no valid --hash=sha256:",
        "line 8: link: a link is not a pin; write name==version with its hash",
        "line 9: not a requirement: './local.whl'",
        "line 10: option not allowed here: -r",
        "line 11: option not allowed here: -e",
        "line 12: option not allowed here: --no-binary",
        "line 13: good is pinned twice for Python 3.11.2",
        "line 14: nothing: not pinned with ==",
    ]
    assert "reprise lock" in (caught.value.hint or "")


def test_an_absent_or_binary_file_is_a_usage_error(tmp_path: Path, python: PythonFacts) -> None:
    with pytest.raises(UsageError, match="no such"):
        read_lock(tmp_path / "none.txt", python)
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="UTF-8"):
        read_lock(tmp_path / "binary.txt", python)


def test_platforms_go_down_from_the_glibc_of_the_base(python: PythonFacts) -> None:
    names = platforms(python.model_copy(update={"glibc": "2.18"}))
    assert names[:3] == ["manylinux_2_18_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"]
    assert names[-3:] == ["manylinux_2_5_x86_64", "manylinux1_x86_64", "linux_x86_64"]


def test_tags_are_those_of_the_target(python: PythonFacts) -> None:
    names = [str(tag) for tag in tags(python)]
    assert names[0] == "cp311-cp311-manylinux_2_36_x86_64"
    assert {"cp311-abi3-manylinux_2_28_x86_64", "cp38-abi3-manylinux2014_x86_64", "py3-none-any"} <= set(
        names
    )
    assert not any("cp312" in name or "2_37" in name or "macosx" in name for name in names)


PYLOCK = """\
lock-version = "1.0"
created-by = "a test"
requires-python = ">=3.11"
[[packages]]
name = "numpy"
version = "2.4.6"
[[packages.wheels]]
url = "https://files.example/numpy-2.4.6-cp312-cp312-manylinux_2_28_x86_64.whl"
hashes = {{sha256 = "{b}"}}
[[packages.wheels]]
url = "https://files.example/numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl"
hashes = {{sha256 = "{a}"}}
[[packages]]
name = "local"
version = "1.0"
[[packages.wheels]]
path = "wheels/local-1.0-py3-none-any.whl"
hashes = {{sha256 = "{a}"}}
[[packages]]
name = "colorama"
version = "1.0"
marker = "sys_platform == 'win32'"
[[packages.wheels]]
url = "https://files.example/colorama-1.0-py3-none-any.whl"
hashes = {{sha256 = "{a}"}}
"""


def test_a_pylock_is_read_for_the_target(tmp_path: Path, python: PythonFacts) -> None:
    path = lock(tmp_path, PYLOCK.format(a=A, b=B), "pylock.toml")
    assert [pin.name for pin in read_lock(path, python).pins] == ["local"], "the base has this NumPy"
    other = python.model_copy(update={"packages": {"numpy": "2.4.5"}})
    local, numpy = read_lock(path, other).pins
    assert requirement(numpy) == (
        f"numpy @ https://files.example/numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl --hash=sha256:{A}"
    )
    assert local.file == tmp_path / "wheels/local-1.0-py3-none-any.whl"


def pylock_of(*versions: tuple[str, str]) -> str:
    text = 'lock-version = "1.0"\ncreated-by = "a test"\n'
    for name, version in versions:
        wheel = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        text += f'[[packages]]\nname = "{name}"\nversion = "{version}"\n[[packages.wheels]]\n'
        text += f'url = "https://files.example/{wheel}"\nhashes = {{sha256 = "{A}"}}\n'
    return text


def test_of_a_pylock_the_base_s_pytorch_stays_with_all_that_a_gpu_build_needs(
    tmp_path: Path, python: PythonFacts
) -> None:
    text = pylock_of(
        *(("torch", "2.13.0"), ("nvidia-cublas", "13.1"), ("nvidia-cudnn-cu13", "9.2"), ("triton", "3.7")),
        *(("nvidia-ml-py", "13.0"), ("tqdm", "4.0")),
    )
    path = lock(tmp_path, text, "pylock.toml")
    assert [pin.name for pin in read_lock(path, python).pins] == ["nvidia-ml-py", "tqdm"]


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ([("torch", "2.9.1")], "torch 2.9.1 is locked, and the base has 2.13.0+cpu"),
        (
            [("torch", "2.13.0"), ("torchvision", "0.28.0")],
            "torchvision is made for another build",
        ),
    ],
)
def test_a_pylock_that_clashes_with_the_base(
    tmp_path: Path, python: PythonFacts, versions: list[tuple[str, str]], said: str
) -> None:
    with pytest.raises(UsageError, match="does not fit the base") as caught:
        read_lock(lock(tmp_path, pylock_of(*versions), "pylock.toml"), python)
    assert said in caught.value.message
    assert ("reprise base new NAME --requirement torch==2.9.1" in (caught.value.hint or "")) is (
        len(versions) == 1
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements.txt", "numpy\ntqdm==1.0\n"),
        ("requirements.txt", "-e .\n--extra-index-url https://x.example/\nnumpy==1.0\n"),
        ("requirements.in", "numpy\n"),
        ("environment.yml", "dependencies: [numpy]\n"),
        ("pyproject.toml", "[project]\n"),
        ("setup.cfg", ""),
    ],
)
def test_what_is_not_locked_names_the_command_that_locks_it(
    tmp_path: Path, python: PythonFacts, name: str, text: str
) -> None:
    path = lock(tmp_path, text, name)
    with pytest.raises(UsageError) as caught:
        read_lock(locked_file(path), python)
    assert caught.value.message == f"{path} is not locked"
    assert caught.value.hint == f"run: reprise lock {path}; then write `requirements: requirements.lock`"


def test_a_pylock_without_a_wheel_for_the_target_is_refused(tmp_path: Path, python: PythonFacts) -> None:
    text = f"""\
lock-version = "1.0"
created-by = "a test"
[[packages]]
name = "one"
version = "1.0"
[packages.sdist]
url = "https://files.example/one-1.0.tar.gz"
hashes = {{sha256 = "{A}"}}
[[packages]]
name = "two"
[packages.vcs]
type = "git"
url = "https://git.example/two"
commit-id = "abc"
[[packages]]
name = "three"
version = "1.0"
[[packages.wheels]]
url = "https://files.example/three-1.0-py3-none-any.whl"
hashes = {{sha512 = "{A}"}}
"""
    with pytest.raises(UsageError) as caught:
        read_lock(lock(tmp_path, text, "pylock.toml"), python)
    assert [line.split(":")[0].strip() for line in caught.value.message.splitlines()[1:]] == [
        "one",
        "two",
        "three",
    ]


@pytest.mark.parametrize(
    "text", ["not toml", 'lock-version = "9.0"\ncreated-by = "x"\npackages = []\n', "a = 1"]
)
def test_a_broken_pylock_is_a_usage_error(tmp_path: Path, python: PythonFacts, text: str) -> None:
    with pytest.raises(UsageError, match=r"pylock\.toml"):
        read_lock(lock(tmp_path, text, "pylock.toml"), python)


def test_a_pylock_for_another_python_is_refused(tmp_path: Path, python: PythonFacts) -> None:
    path = lock(tmp_path, PYLOCK.format(a=A, b=B).replace(">=3.11", ">=3.12"), "pylock.toml")
    with pytest.raises(UsageError, match=r"3\.11\.2"):
        read_lock(path, python)


def test_of_a_million_problems_a_hundred_are_told(tmp_path: Path, python: PythonFacts) -> None:
    with pytest.raises(UsageError, match="and perhaps more") as caught:
        read_lock(lock(tmp_path, "x --hash=md5:0\n" * 1_000_000), python)
    assert len(caught.value.message.splitlines()) == 102


@pytest.mark.parametrize(
    "text",
    [
        "a." * 200_000 + "a = 1",
        '"a". ' * 200_000 + "a = 1",
        "[" + "'a.b' .a." * 100_000 + "a]",
        'x = { "\\"".' + '"\\"".' * 100_000 + "a = 1 }",
    ],
)
def test_a_key_of_many_parts_is_refused_before_it_is_read(
    tmp_path: Path, python: PythonFacts, text: str
) -> None:
    """tomllib took 5 s and 1.5 GB for a key of 20,000 parts, and the square of more for more."""
    with pytest.raises(UsageError, match="more than 32 parts"):
        read_lock(lock(tmp_path, text, "pylock.toml"), python)


@pytest.mark.parametrize(
    "text",
    [
        "--extra-index-url https://index.example/\n" * 101,
        f"--index-url https://index.example/{'a' * 200_000}\n",
    ],
)
def test_places_that_no_command_line_holds_are_refused(
    tmp_path: Path, python: PythonFacts, text: str
) -> None:
    """They ended in a traceback: Argument list too long."""
    with pytest.raises(UsageError, match=r"more than 100 places|not an address that is taken"):
        read_lock(lock(tmp_path, text), python)


@pytest.mark.parametrize(
    ("bases", "fits"),
    [
        (
            {"cpu": {"torch": "2.13.0+cpu"}, "cuda": {"torch": "2.13.0+cu130", "torchvision": "0.28.0"}},
            "cuda",
        ),
        ({"cuda": {"torch": "2.13.0+cu130", "torchvision": "0.27.0"}}, None),
        ({"mine": {"torch": "2.12.0", "torchvision": "0.28.0"}}, None),
    ],
)
def test_a_clash_names_the_base_of_this_box_that_fits(
    tmp_path: Path, python: PythonFacts, bases: dict[str, dict[str, str]], fits: str | None
) -> None:
    """Of a lock for another build of PyTorch; the CUDA parts that it names come with that one."""
    text = pylock_of(("torch", "2.13.0"), ("torchvision", "0.28.0"), ("triton", "3.7.1"), ("tqdm", "4.0"))
    with pytest.raises(BaseClashError) as caught:
        read_lock(lock(tmp_path, text, "pylock.toml"), python)
    hint = caught.value.naming(bases).hint or ""
    assert hint == (f"`base: {fits}` in the job file fits it" if fits else caught.value.hint)
