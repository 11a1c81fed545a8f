"""One spec, one digest: real subprocesses under every interpreter that is here, in different surroundings.

The interpreters are the running one and those of REPRISE_TEST_PYTHONS (paths, colon-separated); where that
is not set, every other minor version from 3.11 to 3.13 that the machine has, given the two packages that
assembly needs in a virtual environment of the tests' own. The ids say which were run.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.programs import ran

HERE = Path(__file__).parent
GOLDEN = HERE / "golden.json"
UV = str(HERE.parents[1] / "scripts" / "uv.sh")  # with pip's settings
MINORS = ("3.11", "3.12", "3.13", "3.14")
NEEDED = ("pydantic", "installer")

REGENERATE = """
The bytes of an assembled image have changed, so every digest changes and no older image can be rebuilt.
If that is meant: raise ASSEMBLY_VERSION in orchestrator/image/image_model.py, write the new digests with
    REPRISE_WRITE_GOLDEN=1 python -m pytest tests/image/test_golden.py
and commit tests/image/golden.json."""

SURROUNDINGS: dict[str, tuple[int, list[str], dict[str, str]]] = {
    "plain": (0o022, [], {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}),
    "strict-posix": (
        0o077,
        ["-O"],
        {
            "TZ": "Asia/Kathmandu",
            "LC_ALL": "POSIX",
            "PYTHONCOERCECLOCALE": "0",
            "PYTHONUTF8": "0",
            "PYTHONHASHSEED": "1",
        },
    ),
    "open-umask": (
        0o000,
        ["-X", "utf8"],
        {
            "TZ": "America/St_Johns",
            "LC_ALL": "tr_TR.UTF-8",
            "PYTHONHASHSEED": "4294967295",
            "SOURCE_DATE_EPOCH": "1",
        },
    ),
    "random": (0o027, ["-B"], {"TZ": ":/none", "LC_ALL": "C", "PYTHONHASHSEED": "random"}),
}


def _found() -> list[str]:
    """The running interpreter, then one of each other minor version."""
    named = os.environ.get("REPRISE_TEST_PYTHONS")
    if named is not None:
        return [sys.executable, *(path for path in named.split(os.pathsep) if path)]
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [sys.executable]
    for minor in MINORS:
        if minor == f"{sys.version_info[0]}.{sys.version_info[1]}":
            continue
        places = [
            *map(str, sorted(versions.glob(f"{minor}.*/bin/python{minor}"))),
            shutil.which(f"python{minor}"),
        ]
        found += [place for place in places if place and _runs(place, "pass")][:1]
    return found


def _runs(python: str, code: str) -> bool:
    return subprocess.run([python, "-I", "-c", code], capture_output=True, check=False).returncode == 0


def _id(python: str) -> str:
    if python == sys.executable:
        return f"running-{sys.version_info[0]}.{sys.version_info[1]}.{sys.version_info[2]}"
    asked = [python, "-I", "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def equipped(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An interpreter with what assembly needs: itself, or a virtual environment made once per machine."""

    def equip(python: str) -> str:
        if _runs(python, f"import {', '.join(NEEDED)}"):
            return python
        folder = tmp_path_factory.getbasetemp().parent / "reprise-pythons"
        folder.mkdir(exist_ok=True)
        place = folder / _id(python)
        inside = str(place / "bin" / "python")
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _runs(inside, f"import {', '.join(NEEDED)}") if place.exists() else True:
                shutil.rmtree(place, ignore_errors=True)
                _run([UV, "venv", "--quiet", "--python", python, str(place)])
                _run(
                    [UV, "pip", "install", "--quiet", "--python", str(place), "--only-binary=:all:", *NEEDED]
                )
        return inside

    return equip


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(
            f"{' '.join(command)} failed: {done.stderr[-500:]}\nname interpreters that have {NEEDED} in "
            "REPRISE_TEST_PYTHONS (empty: the running one only)"
        )


def _assemble(python: str, surrounding: str, folder: Path, repo: Path) -> dict[str, Any]:
    umask, options, environment = SURROUNDINGS[surrounding]
    home = folder / surrounding / "a home \u00e9"
    work = home / "work"
    work.mkdir(parents=True)
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(repo), **environment}
    environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    there = {"env": environ, "cwd": home if surrounding != "plain" else "/", "umask": umask}
    done = ran(python, *options, str(HERE / "golden_script.py"), str(work), **there)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize(
    "python",
    [
        pytest.param(python, marks=pytest.mark.acceptance if place > 1 else ())
        for place, python in enumerate(_found())
    ],
    ids=_id,
)
def test_golden_digest(python: str, equipped: Any, tmp_path: Path, repo: Path) -> None:
    interpreter = equipped(python)
    results = {name: _assemble(interpreter, name, tmp_path, repo) for name in SURROUNDINGS}
    real = {name: result.pop("real") for name, result in results.items()}
    if os.environ.get("REPRISE_WRITE_GOLDEN") == "1":
        GOLDEN.write_text(json.dumps(results["plain"], indent=2) + "\n")
    golden = json.loads(GOLDEN.read_text())
    for name, result in results.items():
        assert result == golden, f"{_id(python)}, {name}{REGENERATE}"
    # The runtime of this checkout has no golden digest, for it is edited daily; here it is one for all.
    (tmp_path / "running").mkdir()
    real["running interpreter"] = _assemble(sys.executable, "plain", tmp_path / "running", repo)["real"]
    assert len(set(real.values())) == 1, real
