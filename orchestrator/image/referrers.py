"""Things attached to an image in a registry: manifests with a `subject`, found again from the image's digest.

A registry with the referrers API lists them itself. For one without (registry 2.8) the specification has an
index under the tag `sha256-HEX`, which clients write, and the last writer wins. So that nothing is lost when
two write at once, each attached manifest also has a tag of its own, put before the index: whoever writes the
index last sees it there and takes it in.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import RegistryError
from orchestrator.image.model import MEDIA_MANIFEST, Layer, LayerKind
from orchestrator.image.push import push, put_manifest
from orchestrator.image.registry import read_manifest
from orchestrator.image.registryclient import AbsentError, Answer, Client

MEDIA_INDEX = "application/vnd.oci.image.index.v1+json"
MEDIA_EMPTY = "application/vnd.oci.empty.v1+json"
_EMPTY = b"{}"
_ROUNDS = 50  # of writing the index while others write it
_PAGES = 1000  # of one list
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')


class Attached(NamedTuple):
    digest: Digest  # of its manifest
    annotations: dict[str, str]
    data: bytes


def attach(client: Client, subject: Digest, kind: str, data: bytes, annotations: Mapping[str, str]) -> Digest:
    """Put data of a media type beside an image of the repository; the same data again changes nothing.

    The digest of its manifest. AbsentError: the registry has no such image. RegistryError: refused.
    """
    try:
        image = read_manifest(client, subject)
    except AbsentError as error:
        raise AbsentError(
            f"{client.place} has no image {subject}", "push it first: `reprise build --push SPEC`"
        ) from error
    manifest = _manifest(_descriptor(MEDIA_MANIFEST, image), kind, data, annotations)
    blob = Digest.of(data)
    with tempfile.TemporaryDirectory(prefix="reprise-") as folder:
        path = Path(folder, "data")
        path.write_bytes(data)
        # To a registry it is an image of one layer.
        layer = Layer(kind=LayerKind.WHEEL, digest=blob, diff_id=blob, size=len(data), path=path)
        push(client, manifest, _EMPTY, (layer,), lambda _: path)
    digest = Digest.of(manifest)
    if _listed(client, subject) is None:
        put_manifest(client, _own_tag(subject, digest), manifest)
        _list_in_tag(client, subject, digest, manifest)
    return digest


def attached(client: Client, subject: Digest, kind: str, limit: int) -> list[Attached]:
    """What is attached to an image, of one type, each byte checked. RegistryError: damaged, or too long.

    What the registry lists is not trusted: each must name the image as its subject.
    """
    listed = _listed(client, subject)
    found = []
    for entry in _index(client, subject) if listed is None else listed:
        if entry.get("artifactType") != kind:
            continue
        digest = Digest(entry["digest"])
        manifest = _parse(read_manifest(client, digest), str(digest))
        try:
            (layer,) = manifest["layers"]
            size, blob = int(layer["size"]), Digest(layer["digest"])
            named = manifest["subject"]["digest"]
            annotations = {str(name): str(text) for name, text in manifest.get("annotations", {}).items()}
        except (KeyError, TypeError, ValueError, AttributeError):
            raise RegistryError(f"{client.place}: {digest} is a malformed attachment") from None
        if named != subject:
            raise RegistryError(f"{client.place}: {digest} is listed for {subject}, but is of {named}")
        if not 0 <= size <= limit:
            raise RegistryError(f"{client.place}: {blob} has {size} bytes, more than {limit}")
        data = b"".join(client.blob(blob, size))
        if Digest.of(data) != blob:
            raise RegistryError(f"{client.place}: {blob}: the registry delivered other bytes")
        found.append(Attached(digest, annotations, data))
    return found


def _descriptor(media: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media, "digest": Digest.of(data), "size": len(data)}


def _manifest(subject: dict[str, Any], kind: str, data: bytes, annotations: Mapping[str, str]) -> bytes:
    return canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MEDIA_MANIFEST,
            "artifactType": kind,
            "config": _descriptor(MEDIA_EMPTY, _EMPTY),
            "layers": [_descriptor(kind, data)],
            "subject": subject,
            "annotations": dict(annotations),
        }
    )


def _own_tag(subject: Digest, digest: Digest) -> str:
    """At most 128 characters: enough of the manifest's digest to tell two apart."""
    return f"{_tag(subject)}.{digest.hex[:48]}"


def _tag(subject: Digest) -> str:
    return f"sha256-{subject.hex}"


def _listed(client: Client, subject: Digest) -> list[dict[str, Any]] | None:
    """What the registry itself lists; None from one that has not got the referrers API."""
    found: list[dict[str, Any]] = []
    for answer in _pages(client, f"referrers/{subject}", (200, 400, 404, 405)):
        if answer.status != 200:
            return None
        found += _entries(answer.body, f"{client.place}: the referrers")
    return found


def _index(client: Client, subject: Digest) -> list[dict[str, Any]]:
    """What stands in the index under the fallback tag."""
    path = f"manifests/{_tag(subject)}"
    answer = client.request("GET", path, (200, 404), headers={"Accept": MEDIA_INDEX})
    return _entries(answer.body, f"{client.place}:{_tag(subject)}") if answer.status == 200 else []


def _entries(data: bytes, what: str) -> list[dict[str, Any]]:
    found = _parse(data, what)
    try:
        for entry in found["manifests"]:
            Digest(entry["digest"])
    except (KeyError, TypeError, ValueError):
        raise RegistryError(f"{what} is a malformed index", "remove the tag there; attach again") from None
    return list(found["manifests"])


def _parse(data: bytes, what: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise RegistryError(f"{what} is not JSON") from None


def _list_in_tag(client: Client, subject: Digest, digest: Digest, manifest: bytes) -> None:
    """Until the index has this manifest, and every other that has a tag of its own.

    A client that reads the index before our write and writes it after drops us from it, and then looks once
    more itself, as here: our own tag was there before, so it finds us.
    """
    known = {_own_tag(subject, digest): _entry(digest, manifest)}
    strange: set[str] = set()  # tags that somebody else gave
    for _ in range(_ROUNDS):
        entries = _index(client, subject)
        there = {_own_tag(subject, Digest(entry["digest"])) for entry in entries}
        for tag in _own_tags(client, subject) - there - known.keys() - strange:
            found = client.request("GET", f"manifests/{tag}", (200, 404), headers={"Accept": MEDIA_MANIFEST})
            if found.status == 404:
                continue  # just being put: whoever does so looks at the index afterwards
            if _own_tag(subject, Digest.of(found.body)) == tag:
                known[tag] = _entry(Digest.of(found.body), found.body)
            else:
                strange.add(tag)
        missing = [entry for tag, entry in sorted(known.items()) if tag not in there]
        if not missing:
            return
        index = {"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": [*entries, *missing]}
        put_manifest(client, _tag(subject), canonical_json(index), MEDIA_INDEX)
    raise RegistryError(
        f"{client.place}: the list of what is attached to {subject} does not stay as it was written",
        "it is stored all the same; attach once more when fewer do so",
    )


def _entry(digest: Digest, manifest: bytes) -> dict[str, Any]:
    parsed = _parse(manifest, str(digest))
    kept = {name: parsed[name] for name in ("artifactType", "annotations") if name in parsed}
    return _descriptor(MEDIA_MANIFEST, manifest) | kept


def _own_tags(client: Client, subject: Digest) -> set[str]:
    found: set[str] = set()
    for answer in _pages(client, "tags/list", (200,)):
        names = _parse(answer.body, f"{client.place}: the tags").get("tags") or ()
        found.update(name for name in names if name.startswith(f"{_tag(subject)}."))
    return found


def _pages(client: Client, path: str, expect: tuple[int, ...]) -> Iterator[Answer]:
    """A list that the registry may send in parts, each naming the next."""
    headers = {"Accept": f"{MEDIA_INDEX}, application/json"}
    for _ in range(_PAGES):
        answer = client.request("GET", path, expect, headers=headers)
        yield answer
        following = _NEXT.search(answer.headers.get("Link", ""))
        if following is None:
            return
        path = urljoin(answer.url, following[1])
    raise RegistryError(f"{client.url(path)}: a list of more than {_PAGES} parts")
