"""Writes the file system of a built image as normalised layers: the same content gives the same bytes.

Times, caches, logs and the engine's own files differ from build to build. `read_tree` drops them;
`layer_chunks` writes the rest sorted, with one time, as an uncompressed tar. Unlike a job's layers (tar.py)
these hold a whole operating system, so owners, setuid bits, hard links, absolute links and extended
attributes stay.
"""

from __future__ import annotations

import copy
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, NamedTuple

from orchestrator.errors import StoreError
from orchestrator.image.assembly.tar import BLOCK, MTIME, RECORD, Span, read_span

NORMALISE_VERSION = 1  # of the rules below; a change of one byte of any layer is a new version

# Below these only folders are kept: their files belong to a running system, a cache or a log.
_EMPTIED = re.compile(
    r"(dev|proc|sys|run|tmp|var/tmp|var/log|var/cache/apt|var/cache/ldconfig|var/lib/apt/lists|root/\.cache)/"
)
# Folders too: the engine's mount points, and what a package manager makes while it works.
_GONE_BELOW = re.compile(r"(dev|proc|sys|run|tmp|var/tmp|root/\.cache)/")
_GONE = re.compile(
    r"(\.dockerenv|root/\.cache|var/lib/dbus/machine-id|etc/\.pwd\.lock|etc/mtab"
    r"|var/cache/debconf/[^/]*-old|var/lib/dpkg/[^/]*-old|var/lib/dpkg/lock|var/lib/dpkg/lock-frontend"
    r"|var/lib/apt/[^/]*\.bak|var/lib/systemd/random-seed)\Z"
)
# The engine mounts its own files over these. Docker makes them in each container, Podman not all.
_MOUNTED = ("etc/hostname", "etc/hosts", "etc/resolv.conf")
_BLANK = frozenset((*_MOUNTED, "etc/machine-id"))  # an empty machine-id is filled at boot
_XATTR = "SCHILY.xattr."  # file capabilities travel as security.capability


class Node(NamedTuple):
    """One entry of a file system; `path` has no leading or trailing slash."""

    path: str
    info: tarfile.TarInfo  # normalised, except for the name
    data: Span | None  # of a plain file with content


def read_tree(spool: BinaryIO) -> list[Node]:
    """The entries of an engine's export (a seekable tar) that are kept, sorted by path.

    If a file has several names, the first holds the content and the others are hard links to it.
    StoreError: it is not a tar, or has a name twice or one that is not UTF-8.
    """
    found: dict[str, Node] = {}
    links: dict[str, list[str]] = {}
    try:
        with tarfile.open(fileobj=spool, mode="r:", encoding="utf-8") as archive:
            for member in archive:
                path = member.name.removeprefix("./").strip("/")
                (path + member.linkname).encode()
                if "/.wh." in f"/{path}":
                    raise StoreError(f"a name in the image starts with .wh., which deletes files: {path!r}")
                if path in found:
                    raise StoreError(f"the engine's export has one name twice: {path!r}")
                if not path or path == "." or not _kept(path, member):
                    continue
                if member.islnk():
                    links.setdefault(member.linkname.removeprefix("./").lstrip("/"), []).append(path)
                else:
                    found[path] = _node(path, member, spool)
    except (tarfile.TarError, UnicodeError) as error:
        raise StoreError(f"the engine's export cannot be read: {error}") from error
    for target, names in links.items():
        _link(found, target, names)
    for path in _MOUNTED if "etc" in found else ():
        found.setdefault(path, _node(path, tarfile.TarInfo(path), spool))
    return [found[path] for path in sorted(found, key=str.encode)]


def layer_chunks(nodes: Iterable[Node]) -> Iterator[bytes]:
    """The layer's tar in pieces. The nodes must be sorted."""
    total = 0
    for node in nodes:
        head = node.info.tobuf(
            tarfile.PAX_FORMAT, "utf-8", "surrogateescape"
        )  # an attribute may be any bytes
        yield head
        total += len(head)
        if node.data is not None:
            yield from read_span(node.data)
            yield bytes(-node.data.size % BLOCK)
            total += node.data.size + -node.data.size % BLOCK
    yield bytes(2 * BLOCK + -(total + 2 * BLOCK) % RECORD)


def split(nodes: list[Node], belongs: Callable[[str], bool]) -> tuple[list[Node], list[Node]]:
    """The nodes of the lower layer, and those that belong to the upper one.

    A hard link needs its content in the same layer; if that is in the other one, it gets the content itself.
    """
    by_path = {node.path: node for node in nodes}
    lower: list[Node] = []
    upper: list[Node] = []
    for node in nodes:
        above = belongs(node.path)
        if node.info.islnk() and belongs(node.info.linkname) != above:
            node = _with_content(node.path, by_path[node.info.linkname])
        (upper if above else lower).append(node)
    return lower, upper


def _kept(path: str, member: tarfile.TarInfo) -> bool:
    if member.isdev() or _GONE.match(path) or _GONE_BELOW.match(path):
        return False
    return member.isdir() or not _EMPTIED.match(path)


def _node(path: str, member: tarfile.TarInfo, spool: BinaryIO) -> Node:
    if not (member.isreg() or member.isdir() or member.issym()):
        raise StoreError(f"the engine's export has an entry of a type that is not known: {path!r}")
    size = 0 if path in _BLANK or not member.isreg() else member.size
    info = tarfile.TarInfo(path)
    info.type = tarfile.REGTYPE if member.isreg() or path in _BLANK else member.type
    info.size, info.mtime = size, MTIME
    info.uid, info.gid = member.uid, member.gid
    info.mode = 0o644 if path in _BLANK else member.mode & 0o7777
    info.linkname = member.linkname if info.issym() else ""
    info.pax_headers = {
        key: value for key, value in sorted(member.pax_headers.items()) if key.startswith(_XATTR)
    }
    return Node(path, info, Span(spool.fileno(), member.offset_data, size) if size else None)


def _link(found: dict[str, Node], target: str, names: list[str]) -> None:
    """Give the content of `target` to the first of all its names."""
    if target not in found:
        raise StoreError(
            f"the engine's export has a hard link to what is not kept: {names[0]!r} -> {target!r}"
        )
    content = found[target]
    first, *others = sorted([target, *names], key=str.encode)
    found[first] = _with_content(first, content)
    for name in others:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.mtime = tarfile.LNKTYPE, first, MTIME
        info.uid, info.gid, info.mode = content.info.uid, content.info.gid, content.info.mode
        found[name] = Node(name, info, None)


def _with_content(path: str, node: Node) -> Node:
    info = copy.copy(node.info)
    info.name = path
    return Node(path, info, node.data)
