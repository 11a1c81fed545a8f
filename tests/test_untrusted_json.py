"""Documents of strangers that are small as bytes and large as objects, or as lists of mistakes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.digest import canonical_json
from orchestrator.launch.bundles.bundle_form import Bundle, read_bundle, read_listing
from orchestrator.record.transfer.import_runs import Carried
from orchestrator.untrusted_json import MAX_DEPTH, first_problem, read_untrusted, strict_json

LIMITED = """
import resource, sys
from orchestrator.digest import Digest, canonical_json
from orchestrator.launch.bundles.bundle_form import read_bundle, read_listing
from orchestrator.record.transfer.import_runs import Carried
resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
data = {text}
try:
    {read}(data)
except ValueError as error:
    print(str(error)[:200])
"""
KEYS = "b','.join(b'\"%x\":1' % number for number in range(3_900_000))"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("b'{\"format\":1,\"runs\":[' + b'1,' * 2_900_000 + b'1]}'", "read_bundle"),
        ("b'{\"format\":1,\"runs\":[' + b'[],' * 20_000_000 + b'1]}'", "read_bundle"),
        pytest.param(
            "b'{\"format\":1,\"verdicts\":[' + b'1,' * 4_000_000 + b'1]}'",
            "Carried.from_bytes",
            marks=pytest.mark.acceptance,  # as the first
        ),
        ("b'{\"format\":1,\"verdicts\":[' + b'[],' * 40_000_000 + b'1]}'", "Carried.from_bytes"),
        pytest.param("b'{\"format\":1,' + {keys} + b'}'", "Carried.from_bytes", marks=pytest.mark.acceptance),
        pytest.param(
            "b'{\"format\":1,\"run\":{' + {keys} + b'}}'", "Carried.from_bytes", marks=pytest.mark.acceptance
        ),
        ('b\'{"format":1,"verdicts":[{"document":{\' + {keys} + b\'}}]}\'', "Carried.from_bytes"),
        ('b\'{"format":1,"run":{"image":[\' + b\'{"a":{}},\' * 740_000 + b\'1]}}\'', "Carried.from_bytes"),
        ("b'[' + b'[],' * 20_000_000 + b'[]]'", "read_listing"),
        ("canonical_json([['a/' * 500_000 + 'b', '0' * 64, 0]])", "read_listing"),
    ],
)
def test_no_document_takes_more_than_a_gibibyte(text: str, read: str) -> None:
    """The first three took 4 GB, 20 GB and 5 GB, those of unknown keys 20 GB and more."""
    source = LIMITED.replace("{text}", text.replace("{keys}", KEYS)).replace("{read}", read)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1000:]


@given(st.lists(st.lists(st.sampled_from(["a", "b", "a-", "a!"]), min_size=1, max_size=4).map("/".join)))
def test_a_file_that_is_a_folder_too_is_found(names: list[str]) -> None:
    names = sorted(set(names), key=str.encode)
    data = canonical_json([[name, "0" * 64, 0] for name in names])
    if any(two.startswith(f"{one}/") for one in names for two in names):
        with pytest.raises(ValueError, match="a file that is a folder"):
            read_listing(data)
    else:
        assert len(read_listing(data)) == len(names)


def test_the_first_mistake_is_told_with_its_place() -> None:
    with pytest.raises(ValidationError) as caught:
        read_untrusted(Bundle, b'{"blobs": [["sha256:0", 1], ["sha256:1", 2]]}')
    assert {error["loc"][0] for error in caught.value.errors()} == {"image", "config", "blobs"}
    assert "image" in first_problem(caught.value)
    with pytest.raises(ValueError, match="format 2 is not known"):
        read_bundle(b'{"format": 2}')
    with pytest.raises(ValueError, match=r"verdicts\.0|run: Field required"):
        Carried.from_bytes(b'{"verdicts": [1]}')


@pytest.mark.parametrize(("depth", "read"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False), (100_000, False)])
@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a":', "}")])
def test_how_deep_a_document_may_be_is_no_matter_of_pythons_version(
    depth: int, read: bool, start: str, end: str
) -> None:
    text = start * depth + "1" + end * depth
    if read:
        strict_json(text)
    else:
        with pytest.raises(ValueError, match="nested too deeply"):
            strict_json(text)
