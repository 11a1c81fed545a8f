from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.engine_facts import DOCKER

from orchestrator.errors import EngineError
from orchestrator.image.image_model import LABEL_PROGRAM
from orchestrator.run.attempt_model import Plan
from orchestrator.run.engine.engine import EngineImage
from orchestrator.run.engine.engine_info import EngineInfo
from orchestrator.run.permissions import _SCRIPT, closed_to_us, open_up


def test_all_that_is_ones_own_is_opened_whatever_its_depth(tmp_path: Path) -> None:
    """As the job's user the script is no more than this: it needs no right but to be the owner."""
    host = tmp_path / "host"
    host.mkdir(mode=0o700)
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(host)
    (root / "secret").write_text("x")
    (root / "secret").chmod(0)
    (root / "read").write_text("x")
    os.mkfifo(root / "fifo", 0o600)
    before = os.stat(root / "read").st_ctime_ns
    here = os.open(root, os.O_RDONLY)
    for _ in range(3000):  # names add up to more than a path may have
        os.mkdir("d", 0o700, dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    subprocess.run([sys.executable, "-I", "-S", "-c", _SCRIPT, str(root)], check=True)
    assert stat.S_IMODE((root / "d/d/d").stat().st_mode) == 0o777
    assert (root / "secret").stat().st_mode & 0o004
    assert os.stat(root / "read").st_ctime_ns == before
    assert stat.S_IMODE(host.stat().st_mode) == 0o700
    assert stat.S_IMODE(os.lstat(root / "fifo").st_mode) == 0o600
    subprocess.run(["rm", "-rf", str(root)], check=True)


def test_root_is_closed_out_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").touch(0)
    assert not closed_to_us([tmp_path])


class Images:
    """An engine that has an image of a job and another one, and is asked for one container."""

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self.job = EngineImage(id="sha256:job", tags=(), diff_ids=(), labels={LABEL_PROGRAM: "{}"})

    def image(self, reference: str) -> EngineImage:
        return self.job if reference == "job" else self.job.model_copy(update={"id": "other", "labels": {}})

    def images_labelled(self, label: str) -> Iterator[EngineImage]:
        return iter([self.job])

    def image_settings(self, reference: str) -> dict[str, list[str]]:
        return {"Entrypoint": ["/bin/evil" if reference == "other" else "/usr/bin/python3"]}

    def info(self) -> EngineInfo:
        return DOCKER

    def create(self, plan: Plan) -> None:
        self.plan = plan
        raise EngineError("enough")

    def remove(self, name: str) -> None: ...


@pytest.mark.parametrize(("named", "taken"), [("job", "job"), ("other", "sha256:job")])
def test_only_an_image_of_a_job_opens_a_jobs_files(named: str, taken: str, tmp_path: Path) -> None:
    engine = Images()
    with pytest.raises(EngineError, match="enough"):
        open_up(engine, named, [tmp_path], {})  # type: ignore[arg-type]
    assert engine.plan is not None and engine.plan.entrypoint is not None
    assert (engine.plan.image, engine.plan.entrypoint[0]) == (taken, "/usr/bin/python3")
