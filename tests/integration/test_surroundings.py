"""What a script finds round it in the container, and what is told of one that ends badly."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.box import Box, write_job

from orchestrator.run.collect.ending_hints import COMPILER

pytestmark = pytest.mark.engine

WHO = """
import getpass, grp, json, os, pathlib, pwd, subprocess, tempfile
me = pwd.getpwuid(os.getuid())
home = pathlib.Path.home()
(home / 'kept').write_text('x')
os.environ.pop('HOME')
os.makedirs(os.path.join(os.environ['XDG_CACHE_HOME'], 'huggingface', 'hub'))
print(json.dumps([getpass.getuser(), me.pw_name, me.pw_dir, grp.getgrgid(os.getgid()).gr_name, str(home),
                  os.path.expanduser('~'), subprocess.check_output(['id', '-un'], text=True).strip()]))
open('result.txt', 'w').write('result')
"""


def test_the_user_has_a_name_and_a_home_that_is_no_output(box: Box, tmp_path: Path) -> None:
    run = box.json("submit", str(write_job(tmp_path / "job", WHO)))
    assert run["state"] == "succeeded"
    home = '"/tmp/home"'
    assert box.type("logs", run["id"]).out == f'["job", "job", {home}, "job", {home}, {home}, "job"]\n'
    assert [output["path"] for output in run["outputs"]] == ["result.txt"]


def test_a_process_that_died_is_noted_under_a_command_that_succeeds(box: Box, tmp_path: Path) -> None:
    spec = write_job(tmp_path / "job", "raise RuntimeError('loss is nan')")
    spec.write_text("name: tee\nbase: cpu\ncommand: (python main.py || true) 2>&1 | tee train.log\n")
    run = box.json("submit", str(spec))
    assert run["state"] == "succeeded"
    said = "a Python process ended by an uncaught exception: RuntimeError: loss is nan at main.py:1"
    assert any(note.startswith(said) for note in run["notes"])
    assert said in box.type("show", run["id"]).out


def test_a_base_without_a_compiler_is_the_reason(box: Box, tmp_path: Path) -> None:
    spec = write_job(tmp_path / "job", "import torch\ntorch.compile(torch.sin)(torch.ones(3))", "base: cpu")
    run = box.json("submit", str(spec), code=1)
    assert run["message"] == f"the command ended with exit code 1: {COMPILER}"
