"""Somebody removes images that no container uses, between our load and our container."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.box import Box, make_box, small_job

pytestmark = pytest.mark.engine

# `docker image prune --all` at the worst moment, so many times.
PRUNED = """
from orchestrator.run.engine.engine import Engine
left = [1] * {times}
def pruning(real):
    def call(self, given):
        image = getattr(given, "image", None)
        if {after}:
            real(self, given)
            for one in self.images_labelled("{label}"):
                if "{name}" in str(one.labels):
                    self.remove_image(one.id)
            return
        if left:
            left.pop()
            self.remove_image(image)
        return real(self, given)
    return call
Engine.{method} = pruning(Engine.{method})
from orchestrator.cli.main import main
main()
"""


def submit(box: Box, spec: Path, **fields: object) -> subprocess.CompletedProcess[str]:
    from orchestrator.image.image_model import LABEL_PROGRAM

    code = PRUNED.format(**{"times": 0, "label": LABEL_PROGRAM, "name": "pruned-by-test", **fields})
    words = [sys.executable, "-c", code, "submit", str(spec)]
    return subprocess.run(words, env=box.environ, capture_output=True, text=True, check=False)


@pytest.fixture
def box(small: Box, tmp_path: Path) -> Box:
    return make_box(tmp_path / "home", small.settings)


def a_job(tmp_path: Path) -> Path:
    spec = small_job(tmp_path / "job", f"open('out.txt', 'w').write('{tmp_path}')")
    spec.write_text(spec.read_text().replace("name: test", "name: pruned-by-test"))
    return spec


def test_an_image_that_is_removed_before_its_container_is_made_is_brought_again(
    box: Box, tmp_path: Path
) -> None:
    done = submit(box, a_job(tmp_path), times=2, after=False, method="create")
    assert done.returncode == 0, done.stderr
    assert "was removed from the engine meanwhile" in done.stderr


def test_an_image_that_is_removed_each_time_is_told_as_what_it_is(box: Box, tmp_path: Path) -> None:
    done = submit(box, a_job(tmp_path), after=True, method="load")
    assert done.returncode == 5
    assert "removed again at once" in done.stderr
    assert "by hand" not in done.stderr
