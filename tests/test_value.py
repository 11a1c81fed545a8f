"""What every value of the package promises."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from support.programs import ran

MODEL = "class One({base}):\n    x: int\nOne(x=1)\n"
PYDANTICS = "from pydantic import BaseModel\n" + MODEL.format(base="BaseModel")
OURS = "from orchestrator.value import Value\n" + MODEL.format(base="Value")


@pytest.mark.parametrize(("code", "loaded"), [(PYDANTICS, True), (OURS, False)])
def test_no_installed_package_has_a_say_in_what_is_valid(tmp_path: Path, code: str, loaded: bool) -> None:
    about = tmp_path / "meddler-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: meddler\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[pydantic]\nmeddler = meddler:plugin\n")
    (tmp_path / "meddler.py").write_text(
        "print('meddling')\nclass Plugin:\n    def new_schema_validator(self, *a, **k):\n"
        "        return None, None, None\nplugin = Plugin()\n"
    )
    env = {name: text for name, text in os.environ.items() if name != "PYDANTIC_DISABLE_PLUGINS"}
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parent.parent)])
    said = ran(sys.executable, "-c", code, env=env | {"PYTHONPATH": path})
    assert ("meddling" in said.stdout) is loaded
