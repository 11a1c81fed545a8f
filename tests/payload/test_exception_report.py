"""A process that ended by an uncaught exception says so, wherever it is in the job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

RAISE = "raise ValueError('loss is nan')"
SAID = {"error": "ValueError: loss is nan", "at": "main.py:1"}


def ended(image: Any, script: str, tmp_path: Path, *argv: str, code: int = 0) -> list[dict[str, Any]]:
    (tmp_path / "main.py").write_text(script)
    words = argv or (image.python, "main.py")
    done = image.execute([*words], cwd=tmp_path, timeout=240)
    assert done.code == code
    assert not done.all("error")
    return [{"error": each["error"], "at": each["at"]} for each in done.all("ended")]


def test_under_a_pipe_and_in_the_middle_of_a_shell(image: Any, tmp_path: Path) -> None:
    for command in ("{} main.py | cat", "{} main.py; true", "({} main.py &) ; sleep 1"):
        argv = ("/bin/sh", "-c", command.format(image.python))
        assert ended(image, RAISE, tmp_path, *argv) == [SAID]


def test_of_a_child_whose_exit_code_nobody_reads(image: Any, tmp_path: Path) -> None:
    script = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {RAISE!r}])"
    assert ended(image, script, tmp_path) == [{"error": "ValueError: loss is nan", "at": ""}]


@pytest.mark.parametrize("way", ["fork", "spawn", "forkserver"])
def test_in_multiprocessing(image: Any, tmp_path: Path, way: str) -> None:
    """Whose children print the traceback themselves; it is as without us."""
    script = (
        f"def work(): {RAISE}\n"
        "import multiprocessing\n"
        "if __name__ == '__main__':\n"
        f"    child = multiprocessing.get_context({way!r}).Process(target=work)\n"
        "    child.start()\n    child.join()\n    print(child.exitcode)\n"
    )
    assert ended(image, script, tmp_path) == [SAID]
    plain = image.run("main.py", cwd=tmp_path, REPRISE_LEVEL=None)
    ours = image.run("main.py", cwd=tmp_path)
    assert (ours.out, ours.err) == (plain.out, plain.err)
    assert ours.out == "1\n"


def test_in_a_fork_and_once(image: Any, tmp_path: Path) -> None:
    script = f"import os\nif os.fork() == 0:\n    {RAISE}\nos.wait()"
    assert ended(image, script, tmp_path) == [{**SAID, "at": "main.py:3"}]


@pytest.mark.slow
@pytest.mark.torch
def test_in_a_rank_of_torchrun(image: Any, tmp_path: Path) -> None:
    argv = (image.python, "-m", "torch.distributed.run", "--nproc-per-node", "2", "main.py")
    said = ended(image, f"import os\nif os.environ['RANK'] == '1': {RAISE}", tmp_path, *argv, code=1)
    assert {**SAID, "at": "main.py:2"} in said


def test_whatever_hook_the_script_has(image: Any, tmp_path: Path) -> None:
    script = f"import sys; sys.excepthook = lambda *error: None; {RAISE}"
    assert ended(image, script, tmp_path, code=1) == [SAID]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("raise SystemExit('no data')", 1),
        ("raise SystemExit(0)", 0),
        (f"try: {RAISE}\nexcept ValueError: pass", 0),
        (f"import threading\ndef work(): {RAISE}\nthreading.Thread(target=work).start()", 0),
    ],
)
def test_what_is_no_such_end(image: Any, tmp_path: Path, script: str, code: int) -> None:
    """A program that chose its exit code, an exception that was caught, a thread that does not end all."""
    assert ended(image, script, tmp_path, code=code) == []


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("class E(Exception):\n    def __str__(self): raise KeyError\nraise E", None),
        ("raise ValueError('x' * 10_000_000)", "ValueError: " + "x" * 488),
        ("raise ValueError('\\udc80\\ud83d')", "ValueError"),
        ("raise ValueError('====\\ntrain.py FAILED\\n----\\nrank 1')", "ValueError: train.py FAILED"),
        ("raise ValueError('it raised:\\nKeyError: 1\\nmore')", "ValueError: it raised: KeyError: 1"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_texts_of_every_kind(image: Any, tmp_path: Path, script: str, said: str | None) -> None:
    (tmp_path / "main.py").write_text(script)
    done = image.run("main.py", cwd=tmp_path)
    assert done.code != 0
    if said is None:
        assert done.one("ended")["error"] == "E"
    else:
        assert done.one("ended")["error"] == said
