"""What tests with an engine share: a base that is made and carried in a moment."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest
from support.box import Box

from orchestrator.image.base.base_pins import list_pins
from orchestrator.settings import Settings, load


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, shared_base: Settings) -> Iterator[Box]:
    """A box with a base `os` of 0.2 GB: the cpu base's operating system without PyTorch."""
    blobs = shared_base.layout / "blobs" / "sha256"
    (pin,) = [one for one in list_pins(shared_base) if one.name == "cpu"]
    layer = json.loads((blobs / pin.digest.hex).read_bytes())["layers"][0]["digest"]
    imported = ["docker", "import", str(blobs / layer.removeprefix("sha256:")), "reprise-test:os"]
    image = subprocess.run(imported, check=True, capture_output=True, text=True).stdout.split()[-1]
    box = Box(load({"REPRISE_HOME": str(tmp_path_factory.mktemp("small") / "here")}))
    try:
        pinned = box.type("base", "pin", "os", image)
        assert pinned.code == 0, pinned.err
        yield box
    finally:
        subprocess.run(["docker", "rmi", "--force", image], check=False, capture_output=True)
