"""Every interpreter of the image: is the runtime in, does it stay out of the way, what does it report?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

# Which interpreters heed PYTHONHASHSEED is Python's own rule; the read-back must tell them apart.
FLAGS = [((), 0), (("-s",), 0), (("-P",), 0), (("-E",), 1), (("-I",), 1)]


@pytest.mark.parametrize(("flags", "randomised"), FLAGS)
def test_in_under_every_flag(image: Any, flags: tuple[str, ...], randomised: int) -> None:
    done = image.run(*flags, "-c", "import random; print(random.random())")
    assert (done.code, done.err) == (0, "")
    assert float(done.out) == 0.32383276483316237  # random.seed(7)
    for kind in ("start", "end"):
        assert done.one(kind)["flags"]["python.hash_randomization"] == randomised
    assert done.one("start")["argv"][1:] == [*flags, "-c", "import random; print(random.random())"]


def test_without_site_there_is_nothing(image: Any) -> None:
    """`-S` reads no .pth. Torch is not importable there either; the record says: not instrumented."""
    done = image.run("-S", "-c", "import random; print(random.random())")
    assert (done.code, done.err, done.reports) == (0, "", {})


def test_off_without_the_level(image: Any) -> None:
    done = image.run("-c", "import sys; print('_reprise' in sys.modules)", REPRISE_LEVEL=None)
    assert (done.out, done.err, done.reports) == ("False\n", "", {})


def test_silent_where_the_runtime_is_absent(image: Any) -> None:
    """An image that has the .pth and no runtime folder."""
    site = next((image.root / "venv").glob("lib/python3*/site-packages"))
    line = (site / "reprise.pth").read_text()
    (site / "other.pth").write_text(line.replace(str(image.root / "runtime"), "/nowhere"))
    try:
        done = image.run("-c", "print('fine')")
    finally:
        (site / "other.pth").unlink()
    assert (done.out, done.err) == ("fine\n", "")


def test_silent_where_there_is_no_report_folder(image: Any) -> None:
    done = image.run("-c", "import random; print(random.random())", REPRISE_REPORT="/nowhere")
    assert (done.out, done.err) == ("0.32383276483316237\n", "")


def test_modules_of_the_users_own_with_the_payloads_names(image: Any, tmp_path: Path) -> None:
    for name in ("payload", "tracer", "determinism", "report_writer", "post_import"):
        (tmp_path / f"{name}.py").write_text("mine = True\n")
    code = (
        "import payload, tracer, determinism, report_writer as r, post_import; print(tracer.mine and r.mine)"
    )
    done = image.run("-c", code, cwd=tmp_path)
    assert (done.out, done.err) == ("True\n", "")
    assert done.all("end")


def test_it_brings_no_heavy_module(image: Any) -> None:
    heavy = "{'json', 're', 'pathlib', 'hashlib', 'typing', 'importlib.metadata', 'random', 'numpy', 'torch'}"
    done = image.run("-c", f"import sys; print(sorted({heavy} & set(sys.modules)))")
    plain = image.run("-c", f"import sys; print(sorted({heavy} & set(sys.modules)))", REPRISE_LEVEL=None)
    assert done.out == plain.out


def test_a_process_without_torch_loads_little_of_ours(image: Any) -> None:
    """Each module costs every interpreter of the job 0.3 ms or more, as no bytecode is kept."""
    code = "import sys; print(*sorted(name for name in sys.modules if name.startswith('_reprise.')))"
    few = ["exception_report", "interpreter_start", "post_import", "process_seeds", "report_writer"]
    assert image.run("-c", code, REPRISE_MAIN=None).out.split() == [f"_reprise.{name}" for name in few]


# The job's packages


def package(image: Any, name: str, version: str) -> None:
    (image.root / "site" / f"{name}.py").write_text(f"version = {version!r}\n")


def test_the_jobs_packages_come_before_the_bases(image: Any) -> None:
    assert image.run("-c", "import shared; print(shared.version)").out == "of the base\n"
    package(image, "shared", "the job's own")
    (image.root / "site" / "more").mkdir()
    (image.root / "site" / "more" / "found_by_pth.py").write_text("here = True\n")
    (image.root / "site" / "more.pth").write_text("more\nimport sys; sys.ran_pth = True\n")
    code = "import shared, json, found_by_pth, sys; print(shared.version, sys.ran_pth, json.__file__)"
    for flags in ((), ("-I",)):
        done = image.run(*flags, "-c", code)
        assert done.err == ""
        assert done.out.startswith("the job's own True ")
        assert str(image.root / "site") not in done.out  # the standard library still comes first


def test_the_standard_library_comes_before_the_jobs_packages(image: Any) -> None:
    package(image, "json", "not the standard one")
    assert image.run("-c", "import json; print(json.dumps([]))").out == "[]\n"


def test_no_site_folder_is_no_entry(image: Any) -> None:
    (image.root / "site").rmdir()
    done = image.run("-c", f"import sys; print({str(image.root / 'site')!r} in sys.path)")
    assert (done.out, done.err) == ("False\n", "")


# Which processes report


def test_children_of_the_first_process_do_not_report(image: Any) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'pass'], check=True)"
    assert len(image.run("-c", code).reports) == 2


def test_each_python_of_a_shell_command_reports(image: Any) -> None:
    script = f"{image.python} -c 'import random'; {image.python} -c 'import json'; true"
    done = image.execute(["/bin/sh", "-c", script])
    assert len(done.all("start")) == len(done.all("end")) == 2


def test_what_the_job_changes_in_its_environment_is_seen(image: Any) -> None:
    done = image.run("-c", "import os; os.environ['OMP_NUM_THREADS'] = '8'; del os.environ['MKL_DYNAMIC']")
    assert done.changed == {"env.OMP_NUM_THREADS": ("1", "8"), "env.MKL_DYNAMIC": ("FALSE", None)}


@pytest.mark.torch
def test_what_is_first_readable_at_the_end_has_not_changed(image: Any) -> None:
    done = image.run("-c", "import numpy.linalg")
    assert done.one("start")["flags"]["numpy.version"] == done.one("end")["flags"]["numpy.version"]
    assert done.changed == {}


@pytest.mark.parametrize(
    ("code", "exit_code", "ended"),
    [
        ("raise SystemExit(3)", 3, True),
        ("raise RuntimeError('user error')", 1, True),
        ("import os; os._exit(4)", 4, False),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, False),
        ("import os, sys; os.fork() or sys.exit(0); os.wait()", 0, True),
    ],
)
def test_the_end_is_reported_where_there_is_one(image: Any, code: str, exit_code: int, ended: bool) -> None:
    done = image.run("-c", code)
    assert done.code == exit_code
    assert len(done.all("start")) == 1
    assert len(done.all("end")) == int(ended)
    assert not done.all("error")


# What of ours breaks


@pytest.mark.parametrize(
    ("env", "where"),
    [
        ({"REPRISE_SEED": "not a number"}, "the start of the runtime"),
        ({"REPRISE_THREADS": None}, "the start of the runtime"),
        ({"REPRISE_SEED": "-1"}, "seeding numpy"),
    ],
)
def test_our_own_failure_is_reported_and_the_job_goes_on(image: Any, env: dict[str, Any], where: str) -> None:
    (image.root / "site" / "numpy").mkdir()
    (image.root / "site" / "numpy" / "__init__.py").write_text("")
    (image.root / "site" / "numpy" / "random.py").write_text(
        "def seed(value):\n    if value < 0: raise ValueError('seed must be in [0, 2**32)')\n"
    )
    code = "import numpy.random, random; print('the job')"
    done = image.run("-c", code, **env)
    assert (done.code, done.out, done.err) == (0, "the job\n", "")
    assert done.one("error")["where"] == where
    assert "Error" in done.one("error")["error"]


def test_our_own_failure_is_on_standard_error_where_no_report_can_be(image: Any) -> None:
    done = image.run("-c", "print('the job')", REPRISE_SEED="x", REPRISE_REPORT="/nowhere")
    assert (done.code, done.out) == (0, "the job\n")
    assert done.err.startswith("reprise: the start of the runtime failed")


def test_a_report_folder_that_fills_up_does_not_fail_the_job(image: Any) -> None:
    code = "import os, shutil; shutil.rmtree(os.environ['REPRISE_REPORT']); print('the job')"
    done = image.run("-c", code)
    (image.root / "report").mkdir()
    assert (done.code, done.out, done.err) == (0, "the job\n", "")


# Seeds

DRAW = "import random; a = random.random(); import numpy as np; print(a, np.random.rand(), {extra})"


@pytest.mark.slow
@pytest.mark.torch
def test_seeds_are_the_jobs_and_the_same_in_every_process(image: Any) -> None:
    code = DRAW.format(extra="__import__('torch').rand(1).item()")
    first, second = image.run("-c", code), image.run("-c", code)
    other = image.run("-c", code, REPRISE_SEED="8")
    assert first.out == second.out
    assert not set(first.out.split()) & set(other.out.split())


def test_a_script_that_seeds_itself_keeps_its_own_seed(image: Any) -> None:
    code = "import random; random.seed(99); import numpy.random; print(random.random())"
    assert image.run("-c", code, REPRISE_SEED="1").out == image.run("-c", code, REPRISE_SEED="2").out


def test_strings_hash_the_same_in_every_process(image: Any) -> None:
    code = "print(hash('reprise'), list({'a', 'b', 'c', 'd'}))"
    assert image.run("-c", code, REPRISE_SEED="1").out == image.run("-c", code, REPRISE_SEED="2").out


def test_a_forked_child_draws_its_own_numbers_and_the_same_in_every_run(image: Any) -> None:
    """Python itself seeds `random` in forked children from the system's entropy."""
    code = (
        "import os, random, sys\n"
        "for _ in range(2):\n"
        "    sys.stdout.flush()\n"
        "    if os.fork() == 0:\n"
        "        os.fork() or print(random.random(), end=' ')\n"
        "        os.wait() if os.fork() else None\n"
        "        sys.exit(0)\n"
        "    os.wait()\n"
        "print(random.random())"
    )
    done = image.run("-c", code)
    numbers = done.out.split()
    assert numbers == image.run("-c", code).out.split()
    assert len(set(numbers)) == len(numbers) == 3
    assert numbers[-1] == "0.32383276483316237"  # the parent's own, as without children
    assert numbers != image.run("-c", code, REPRISE_SEED="8").out.split()


# What has no deterministic form

REFUSED = "import torch\nput = torch.zeros(4).put_\nplace, value = torch.tensor([0]), torch.ones(1)\n"
SAID = "reprise: put_ has no deterministic form: replace it, or set determinism.level to warn"
# Each script in a forked child, since torch takes a second to import; it ends as an interpreter ends.
FORKED = """
import os, sys, torch
for number, code in enumerate({codes!r}):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.environ["ERRORS"] + str(number), os.O_WRONLY | os.O_CREAT), 2)
        break
    print(pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
else:
    sys.exit(0)
exec(code)
"""


def forked(image: Any, folder: Path, codes: list[str], **env: Any) -> list[tuple[int, str, Any]]:
    """Of each script: its exit code, what it said on standard error, what it reported as refused."""
    done = image.run("-c", FORKED.format(codes=codes), ERRORS=f"{folder}/", **env)
    assert (done.code, done.err) == (0, "")
    found: list[tuple[int, str, Any]] = []
    for number, line in enumerate(done.out.splitlines()):
        pid, code = line.split()
        found.append((int(code), (folder / str(number)).read_text(), done.reports.get(f"refused-{pid}.json")))
    return found


@pytest.mark.torch
@pytest.mark.slow
def test_an_operation_that_is_refused_is_named(image: Any, tmp_path: Path) -> None:
    codes = {
        f"{REFUSED}try: put(place, value)\nexcept RuntimeError as e: raise KeyError(0) from e": 1,
        f"{REFUSED}import sys; sys.excepthook = lambda *a: None; put(place, value)": 1,
        f"{REFUSED}import threading; threading.Thread(target=put, args=(place, value)).start()": 0,
        f"{REFUSED}put(place, value)": 1,
    }
    found = forked(image, tmp_path, [*codes])
    whole = image.run("-c", f"{REFUSED}put(place, value)")
    found.append((whole.code, whole.err, whole.one("refused")))
    assert [code for code, _, _ in found] == [*codes.values(), 1]
    for _, said, refused in found:
        assert said.splitlines()[-1].startswith(SAID)
        assert refused["op"] == "put_"
        assert refused["text"].startswith("put_ does not have a deterministic implementation")


@pytest.mark.acceptance
@pytest.mark.torch
@pytest.mark.slow
def test_nothing_was_refused(image: Any, tmp_path: Path) -> None:
    caught = f"{REFUSED}try: put(place, value)\nexcept RuntimeError: pass"
    found = forked(image, tmp_path, [caught, "raise RuntimeError('of another kind')"])
    found += forked(image, tmp_path, [f"{REFUSED}put(place, value)"], level="warn")
    assert [code for code, _, _ in found] == [0, 1, 0]
    for _, said, refused in found:
        assert refused is None
        assert "reprise" not in said
