"""The payload: the part of Reprise that goes into an image, as numbered frozen files.

An image names the number of its payload, which is a layer of its own. Images get `payloads/NUMBER.json`, not
the room `payload`, where it is written and tested: so a comment there moves no digest. A test holds the two
together, and says when `scripts/payload.py` must be run. The digests of earlier payloads are kept, to check
the layers of old images (docs/identity.md).
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import UsageError
from orchestrator.image.assembly import tar
from orchestrator.image.assembly.layers import PTH, ROOTS, in_image, runtime_entries
from orchestrator.image.image_model import RUNTIME

FOLDER = Path(__file__).parent / "payloads"

DIGESTS: dict[int, Digest] = {
    1: Digest("sha256:2bc8cb95018bec0818381f30e0a2452e691c72a64489cf773016c3422ea2708a"),
    2: Digest("sha256:c2627b8fdd73f667ab328836724babab38e60d780b99dfcf19cb8bd43716d984"),
}
"""Every payload that an image may name: number -> `payload_digest` of its files."""

NEWEST = max(DIGESTS)
"""The payload of images that are assembled now."""

MAX_LAYER = 16 << 20  # bytes of a layer that is read; a payload's has 0.2 MB


@lru_cache(maxsize=4)
def payload(number: int = 0) -> Mapping[str, bytes]:
    """Path -> content of a payload, by default the newest. UsageError if it is not what was released."""
    number = number or NEWEST
    path = FOLDER / f"{number}.json"
    try:
        found = {name: "".join(lines).encode() for name, lines in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"payload {number} cannot be read: {error}", "install Reprise again") from None
    if payload_digest(found) != DIGESTS.get(number):
        raise UsageError(f"{path} is not payload {number} as it was released", "install Reprise again")
    return found


def payload_digest(files: Mapping[str, bytes]) -> Digest:
    """One name for a payload's files, wherever a base keeps its packages."""
    return Digest.of(canonical_json({name: Digest.of(data) for name, data in files.items()}))


def payload_problem(layer: Path, number: int) -> str | None:
    """Why a layer is not that payload as it was released, to the byte; None where it is."""
    files: dict[str, bytes] = {}
    purelib = ""
    try:
        if layer.stat().st_size > MAX_LAYER:
            return f"it has more than {MAX_LAYER} bytes"
        data = layer.read_bytes()
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                below = member.name.partition(f"{in_image(RUNTIME)}/")[2]
                stream = archive.extractfile(member) if member.isreg() else None
                if stream is not None and (name == PTH or below):
                    files[below or name] = stream.read()
                    purelib = folder if name == PTH else purelib
        if payload_digest(files) != DIGESTS.get(number):
            return f"its files are not those of payload {number}"
        again = b"".join(tar.tar_chunks(runtime_entries(purelib, files), ROOTS))
    except (OSError, tarfile.TarError, ValueError, UsageError) as error:
        return f"it cannot be read: {error}"
    return None if again == data else "it holds more than a payload"
