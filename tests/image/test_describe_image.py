"""An image as the first release makes it, frozen in a file: described and made again, whatever came since."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.image import determinism_settings, payload_releases
from orchestrator.image.assembly.assemble import assemble, documents
from orchestrator.image.describe_image import describe, numbers_of
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Base, Image, Numbers
from orchestrator.image.stored_image import image_of, stored_image
from orchestrator.settings import Settings
from orchestrator.spec.jobfile.job_spec import Determinism, Level
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import SourceFile, SourceTree

FIXTURE = Path(__file__).parent / "release-1.json"
SOURCE = SourceTree(files=(SourceFile(path="train.py", data=b"print('hello')\n"),))
PROGRAM = Program(
    name="digits",
    command=("python", "train.py"),
    params={"lr": 0.5},
    env={"ALPHA": "2"},
    seed=7,
    determinism=Determinism(level=Level.WARN, threads=2),
)
FILES = {"entry.py": b"# of the first release\n", "reprise.pth": b"import os\n"}


FIRST = Numbers(settings=1, payload=1)


def made(settings: Settings, base: Base, program: Program = PROGRAM) -> Image:
    return assemble(settings, base, program, SOURCE, files=FILES)


@pytest.fixture
def base(make_base: Any) -> Base:
    found: Base = make_base("cpu")
    return found


@pytest.fixture
def released(settings: Settings, base: Base) -> Image:
    """From the committed bytes, which no later release may need to write anew."""
    layout = ImageLayout(settings.layout)
    texts = json.loads(FIXTURE.read_text())
    config, manifest = texts["config"].encode(), texts["manifest"].encode()
    layout.put_bytes(config)
    layout.put_bytes(manifest)
    return image_of(layout, manifest, config)


@pytest.fixture(params=["this release", "one more setting", "another payload", "both"])
def today(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of releases to come, what they may bring. A field of the program: tests/spec/test_program.py."""
    what: str = request.param
    if what in ("one more setting", "both"):
        number = determinism_settings.NEWEST + 1
        monkeypatch.setitem(
            determinism_settings.SETS,
            number,
            lambda **asked: {**determinism_settings.SETS[1](**asked), "NEXT": "1"},
        )
        monkeypatch.setattr(determinism_settings, "NEWEST", number)
    if what in ("another payload", "both"):
        number, files = payload_releases.NEWEST + 1, {"entry.py": b"2"}
        monkeypatch.setitem(payload_releases.DIGESTS, number, payload_releases.payload_digest(files))
        monkeypatch.setattr(payload_releases, "NEWEST", number)
    return what


def test_the_first_release_is_frozen(settings: Settings, base: Base, released: Image) -> None:
    """What it assembled is assembled under its numbers, to the byte: labels, environment, layers."""
    again = made(settings, base)
    of_numbers = documents(base, PROGRAM, again.packages, again.layers, FIRST)
    assert of_numbers == (released.config, released.manifest)
    assert released.numbers == FIRST


def test_it_is_described_and_made_again_whatever_came_since(
    settings: Settings, base: Base, released: Image, today: str
) -> None:
    assert describe(released.config) == (PROGRAM, base.ref, {})
    found = documents(base, released.program, released.packages, released.layers, released.numbers)
    assert found == (released.config, released.manifest)
    newest = documents(base, released.program, released.packages, released.layers)
    assert newest != found
    assert made(settings, base).digest != released.digest


@pytest.mark.parametrize(
    "labels",
    [
        {"reprise.settings": "2", "reprise.payload": "1"},
        {"reprise.settings": "1", "reprise.payload": "3"},
        {"reprise.settings": "01", "reprise.payload": "1"},
        {"reprise.settings": "1"},
        {"reprise.payload": "\u0661", "reprise.settings": "1"},
    ],
)
def test_what_came_later_is_refused_by_its_number(labels: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="this Reprise knows 1") as caught:
        numbers_of(labels)
    assert caught.value.hint is not None and "later" in caught.value.hint


def test_an_image_without_numbers_is_none_of_ours(settings: Settings, released: Image) -> None:
    config = json.loads(released.config)
    for label in ("reprise.settings", "reprise.payload"):
        del config["config"]["Labels"][label]
    with pytest.raises(UsageError):
        describe(json.dumps(config).encode())
    assert stored_image(settings, Digest.of(b"nothing")) is None
