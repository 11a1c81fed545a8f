"""What git lists of a folder: tracked files, submodules, and files that are neither tracked nor ignored."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

# Modes in trees and in the index.
SUBMODULE, LINK, EXECUTABLE, PLAIN = b"160000", b"120000", b"100755", b"100644"


@dataclass(frozen=True)
class Listing:
    """Paths below a folder, relative to it: tracked ones, and those neither tracked nor ignored."""

    tracked: frozenset[str]  # without submodules
    untracked: frozenset[str]
    unwatched: frozenset[str]  # tracked, but marked as unchanged (assume-unchanged, skip-worktree)
    submodules: Mapping[str, str]  # path -> commit in the index
    kinds: Mapping[str, bytes]  # path -> mode, of files whose kind their file system cannot say
    entries: Mapping[str, str]  # path -> `MODE ID 0` of the index, of tracked files that are merged


class _Listed(NamedTuple):
    """One line of `ls-files -v -s`."""

    tag: str
    mode: bytes  # empty: not tracked
    identity: str
    stage: str  # 0: merged
    name: str


def read_listing(out: bytes, *, links: bool, bits: bool) -> Listing:
    """From the output of `ls-files -z -v -s`. `links`, `bits`: what the file system has, as git believes."""
    entries = [_listed(line) for line in out.split(b"\0") if line]
    files = [one for one in entries if one.mode != SUBMODULE]
    return Listing(
        tracked=frozenset(one.name for one in files if one.mode),
        untracked=frozenset(one.name for one in files if not one.mode),
        unwatched=frozenset(one.name for one in files if one.mode and (one.tag.islower() or one.tag == "S")),
        submodules={one.name: one.identity for one in entries if one.mode == SUBMODULE},
        kinds=_kinds({one.name: one.mode for one in files}, links=links, bits=bits),
        entries={one.name: f"{one.mode.decode()} {one.identity} 0" for one in files if one.stage == "0"},
    )


def _listed(line: bytes) -> _Listed:
    head, tab, name = line.partition(b"\t")
    if not tab or line[:1] == b"?":
        return _Listed(line[:1].decode(), b"", "", "", os.fsdecode(line[2:]))
    tag, mode, identity, stage = head.split(b" ")
    return _Listed(tag.decode(), mode, identity.decode(), stage.decode(), os.fsdecode(name))


def _kinds(modes: Mapping[str, bytes], *, links: bool, bits: bool) -> dict[str, bytes]:
    """Where a file system has no executable bits, or no links, git believes its index, and so do we: the same
    files are the same source on it.
    """
    kinds = {name: mode for name, mode in modes.items() if mode == LINK and not links}
    if not bits:
        kinds |= {name: mode if mode in (LINK, EXECUTABLE) else PLAIN for name, mode in modes.items()}
    return {name: PLAIN if mode == LINK and links else mode for name, mode in kinds.items()}
