"""Attaches data to an image in a registry, and finds it again: manifests that name the image as `subject`.

A registry with the referrers API lists them itself. For others (registry 2.8) the specification has an index
under the tag `sha256-HEX`, which clients write; the last writer wins. So that nothing is lost when two write
at once, each attached manifest also gets a tag of its own before the index is written: the last writer sees
that tag and adds the manifest.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import RegistryError
from orchestrator.image.image_model import MEDIA_MANIFEST, Layer, LayerKind
from orchestrator.image.registry.fetch_manifest import read_manifest
from orchestrator.image.registry.push import push, put_manifest
from orchestrator.image.registry.registry_answers import RegistryAnswer, read_json
from orchestrator.image.registry.registry_client import AbsentError, Client
from orchestrator.scratch import scratch_folder

MEDIA_INDEX = "application/vnd.oci.image.index.v1+json"
MEDIA_EMPTY = "application/vnd.oci.empty.v1+json"
_EMPTY = b"{}"
_ROUNDS = 50  # of writing the index while others write it
_PAGES = 1000  # of one list
_LIST_BYTES = 64 << 20  # of one list, all its pages; a tag has 70
_LIST_SECONDS = 300.0
_LISTED = 10_000  # things attached to one image, of any type
_ATTACHED = 1000  # things of one type at one image
_ATTACHED_BYTES = 64 << 20
_LINK = 8192  # characters of a header that are read
_OWN_TAG = re.compile(r"sha256-[0-9a-f]{64}\.[0-9a-f]{48}\Z")
_NEXT = re.compile(r'<([^<>]+)>\s*;\s*rel="?next"?')


class Attached(NamedTuple):
    digest: Digest  # of its manifest
    annotations: dict[str, str]
    data: bytes


def attach(client: Client, subject: Digest, kind: str, data: bytes, annotations: Mapping[str, str]) -> Digest:
    """Attach data of a media type to an image of the repository; the same data again changes nothing.

    Returns its manifest's digest. AbsentError: the registry lacks the image. RegistryError: it refuses.
    """
    try:
        image = read_manifest(client, subject)
    except AbsentError as error:
        raise AbsentError(
            f"{client.place} has no image {subject}", "push it first: `reprise build --push SPEC`"
        ) from error
    manifest = _manifest(_descriptor(MEDIA_MANIFEST, image), kind, data, annotations)
    blob = Digest.of(data)
    with scratch_folder("reprise-attached-") as folder:
        path = folder / "data"
        path.write_bytes(data)
        # For the registry it is an image with one layer.
        layer = Layer(kind=LayerKind.WHEEL, digest=blob, diff_id=blob, size=len(data), path=path)
        push(client, manifest, _EMPTY, (layer,), lambda _: path)
    digest = Digest.of(manifest)
    if _listed(client, subject, kind) is None:
        put_manifest(client, _own_tag(subject, digest), manifest)
        _list_in_tag(client, subject, digest, manifest)
    return digest


def attached(client: Client, subject: Digest, kind: str, limit: int) -> list[Attached]:
    """What is attached to an image, of one type, each byte checked. RegistryError: damaged, or too long.

    The registry's list is not trusted: each manifest must name the image as its subject.
    """
    listed = _listed(client, subject, kind)
    if listed is None:
        listed = [entry for entry in _index(client, subject) if entry.get("artifactType") == kind]
    found: list[Attached] = []
    for entry in listed:
        if len(found) == _ATTACHED or sum(len(one.data) for one in found) > _ATTACHED_BYTES:
            raise RegistryError(f"{client.place}: {subject} has more attached to it than anybody reads")
        digest = Digest(entry["digest"])
        manifest = read_json(read_manifest(client, digest), str(digest))
        try:
            (layer,) = manifest["layers"]
            size, blob = layer["size"], Digest(layer["digest"])
            named = manifest["subject"]["digest"]
            annotations = {str(name): str(text) for name, text in manifest.get("annotations", {}).items()}
        except (KeyError, TypeError, ValueError, AttributeError):
            raise RegistryError(f"{client.place}: {digest} is a malformed attachment") from None
        if named != subject:
            raise RegistryError(f"{client.place}: {digest} is listed for {subject}, but is of {named}")
        if type(size) is not int or not 0 <= size <= limit:
            raise RegistryError(f"{client.place}: {blob} has {str(size)[:40]} bytes, more than {limit}")
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


def _listed(client: Client, subject: Digest, kind: str) -> list[dict[str, Any]] | None:
    """The registry's own list, of one type; None from a registry without the referrers API."""
    seen = 0
    found: list[dict[str, Any]] = []
    for answer in _pages(client, f"referrers/{subject}", (200, 400, 404, 405)):
        if answer.status != 200:
            return None
        listed = _entries(answer.body, f"{client.place}: the referrers")
        seen += len(listed)
        if seen > _LISTED:
            raise RegistryError(f"{client.place}: {subject} has more than {_LISTED} things attached to it")
        found += [entry for entry in listed if entry.get("artifactType") == kind]
    return found


def _index(client: Client, subject: Digest) -> list[dict[str, Any]]:
    """The entries of the index under the fallback tag."""
    path = f"manifests/{_tag(subject)}"
    answer = client.request("GET", path, (200, 404), headers={"Accept": MEDIA_INDEX})
    return _entries(answer.body, f"{client.place}:{_tag(subject)}") if answer.status == 200 else []


def _entries(data: bytes, what: str) -> list[dict[str, Any]]:
    found = read_json(data, what)
    try:
        entries = list(found["manifests"])
        for entry in entries:
            Digest(entry["digest"])
            entry.get("artifactType")
    except (KeyError, TypeError, ValueError, AttributeError):
        raise RegistryError(f"{what} is a malformed index", "remove the tag there; attach again") from None
    return entries


def _list_in_tag(client: Client, subject: Digest, digest: Digest, manifest: bytes) -> None:
    """Write the index until it has this manifest and every other with a tag of its own.

    A client that read the index before we wrote it, and writes after us, drops our entry. It then looks at
    the tags, as here, and finds ours, which was there first.
    """
    known = {_own_tag(subject, digest): _entry(digest, manifest) or {}}
    foreign: set[str] = set()  # tags that somebody else gave
    for _ in range(_ROUNDS):
        entries = _index(client, subject)
        there = {_own_tag(subject, Digest(entry["digest"])) for entry in entries}
        for tag in _own_tags(client, subject) - there - known.keys() - foreign:
            found = client.request("GET", f"manifests/{tag}", (200, 404), headers={"Accept": MEDIA_MANIFEST})
            if found.status == 404:
                continue  # a client is just putting it, and will look at the index afterwards
            if len(known) + len(foreign) > _ATTACHED:
                raise RegistryError(f"{client.place}: {subject} has more attached to it than anybody reads")
            entry = _entry(Digest.of(found.body), found.body)
            if entry is not None and _own_tag(subject, Digest.of(found.body)) == tag:
                known[tag] = entry
            else:
                foreign.add(tag)
        missing = [entry for tag, entry in sorted(known.items()) if tag not in there]
        if not missing:
            return
        index = {"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": [*entries, *missing]}
        try:
            data = canonical_json(index)
        except ValueError:  # NaN, lone surrogates
            raise RegistryError(
                f"{client.place}:{_tag(subject)} is a malformed index", "remove the tag"
            ) from None
        put_manifest(client, _tag(subject), data, MEDIA_INDEX)
    raise RegistryError(
        f"{client.place}: the list of what is attached to {subject} does not stay as it was written",
        "it is stored all the same; attach once more when fewer do so",
    )


def _entry(digest: Digest, manifest: bytes) -> dict[str, Any] | None:
    """The entry of an index for a manifest; None where the bytes are not one."""
    try:
        parsed = read_json(manifest, str(digest))
    except RegistryError:
        return None
    if not isinstance(parsed, dict):
        return None
    kept = {name: parsed[name] for name in ("artifactType", "annotations") if name in parsed}
    return _descriptor(MEDIA_MANIFEST, manifest) | kept


def _own_tags(client: Client, subject: Digest) -> set[str]:
    found: set[str] = set()
    for answer in _pages(client, "tags/list", (200,)):
        what = f"{client.place}: the list of tags"
        listed = read_json(answer.body, what)
        names = (listed.get("tags") or []) if isinstance(listed, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise RegistryError(f"{what} is malformed")
        found.update(name for name in names if _OWN_TAG.match(name) and name.startswith(f"{_tag(subject)}."))
    return found


def _pages(client: Client, path: str, expect: tuple[int, ...]) -> Iterator[RegistryAnswer]:
    """A list that the registry may send in parts; each part names the next."""
    headers = {"Accept": f"{MEDIA_INDEX}, application/json"}
    where, until, size, seen = client.url(path), time.monotonic() + _LIST_SECONDS, 0, set[str]()
    for _ in range(_PAGES):
        answer = client.request("GET", path, expect, headers=headers)
        size += len(answer.body)
        if size > _LIST_BYTES or time.monotonic() > until:
            raise RegistryError(
                f"{where}: a list of more than {_LIST_BYTES >> 20} MiB, or {_LIST_SECONDS:.0f} s"
            )
        yield answer
        following = _NEXT.search(answer.headers.get("Link", "")[:_LINK])
        if following is None:
            return
        path = client.own_address(answer.url, following[1])
        if path in seen:
            raise RegistryError(f"{where}: the parts of the list lead back to one another")
        seen.add(path)
    raise RegistryError(f"{where}: a list of more than {_PAGES} parts")
