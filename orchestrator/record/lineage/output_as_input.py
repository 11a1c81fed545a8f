"""Outputs of a run as an input: one file, or all below a folder, with links as an input's links count.

Outputs are what a job left, so their names and links are a stranger's; nothing of this touches a disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.errors import UsageError
from orchestrator.message_wording import did_you_mean, listed
from orchestrator.run.attempt_model import Output, OutputStatus
from orchestrator.spec.inputs import InputData, folder_input

MOST = 1_000_000  # files that are reached through links: n folders can lead to each other in 2**n ways
SHOWN = 8  # outputs that a message names
_LINKS = 40  # on one path; Linux has the same limit

Entries = list[tuple[str, str, int]]  # path, SHA-256 in hex, bytes


def output_as_input(run: str, outputs: Sequence[Output], path: str) -> tuple[InputData, Entries]:
    """An output, or a folder of outputs, as hashing it would describe it; and the files of a folder.

    `path` is empty for all outputs. UsageError names what is there where this output is not, and what in the
    folder no input can hold.
    """
    tree = _OutputTree(outputs)
    real = tree.resolved(path)
    if real in tree.kept:
        one = tree.kept[real]
        assert one.digest is not None  # noqa: S101  (of a kept output)
        return InputData(digest=one.digest, folder=False, count=1, size=one.size), []
    if real is None or real not in tree.folders:
        raise _absent(run, outputs, path)
    entries = sorted(tree.entries(run, real), key=lambda entry: entry[0].encode("utf-8", "surrogateescape"))
    if not entries:
        raise _absent(run, outputs, path)
    return folder_input(entries), entries


class _OutputTree:
    """What a run left, by path."""

    def __init__(self, outputs: Sequence[Output]) -> None:
        self.kept: dict[str, Output] = {}
        self.links: dict[str, str] = {}
        self.others: dict[str, str] = {}  # path -> why it was not kept
        self.folders: dict[str, list[str]] = {"": []}  # path -> what lies in it
        for item in outputs:
            if item.status is OutputStatus.KEPT:
                self.kept[item.path] = item
            elif item.link is not None:
                self.links[item.path] = item.link
            else:
                self.others[item.path] = item.reason or "not kept"
            self._place(item.path)

    def _place(self, path: str) -> None:
        while path:
            folder = path.rpartition("/")[0]
            known = folder in self.folders
            self.folders.setdefault(folder, []).append(path)
            if known:
                return
            path = folder

    def resolved(self, path: str) -> str | None:
        """A path with its links followed; None where it leads out of the outputs, or nowhere."""
        done: list[str] = []
        left = path.split("/")[::-1]
        links = 0
        while left:
            part = left.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not done:
                    return None
                done.pop()
                continue
            here = "/".join([*done, part])
            target = self.links.get(here)
            if target is None:
                done.append(part)
                continue
            links += 1
            if links > _LINKS or target.startswith("/"):
                return None
            left += target.split("/")[::-1]
        return "/".join(done)

    def entries(self, run: str, folder: str) -> Iterator[tuple[str, str, int]]:
        """The files below a folder, by their paths in it. UsageError for what no input can hold."""
        found = 0
        waiting: list[tuple[str, str, tuple[str, ...]]] = [("", folder, ())]
        for shown, here, way in waiting:
            if here in way:
                place = f"{folder}/{shown}".strip("/")
                raise _unfit(run, place, "a link that leads back to a folder it lies in")
            for path in self.folders[here]:
                name = shown + path.rpartition("/")[2]
                real = self.resolved(path)
                found += 1
                if found > MOST:
                    raise _unfit(run, shown, f"links show more than {MOST:,} files")
                if real is not None and real in self.kept:
                    yield name, self.kept[real].digest.hex, self.kept[real].size  # type: ignore[union-attr]
                elif real is not None and real in self.folders:
                    waiting.append((f"{name}/", real, (*way, here)))
                elif path in self.links:
                    raise _unfit(run, path, f"a link to {self.links[path]}, which leads out of the outputs")
                else:
                    raise _unfit(run, path, self.others.get(path, "not kept"))


def _unfit(run: str, path: str, why: str) -> UsageError:
    return UsageError(
        f"{path} of run {run} cannot be in an input: {why}",
        f"name the files or the folder that you need: run:{run}/PATH",
    )


def _absent(run: str, outputs: Sequence[Output], path: str) -> UsageError:
    said: Mapping[str, Output] = {item.path: item for item in outputs}
    if not said:
        return UsageError(f"run {run} left no outputs", "name another run; `reprise history` lists them")
    if path in said:
        why = said[path].reason or "no reason recorded"
        return UsageError(f"output {path} of run {run} was not kept: {why}", _listing(run, said))
    hint = f"{did_you_mean(path, said, '')} {_listing(run, said)}".lstrip()
    return UsageError(f"run {run} has no output {path}", hint)


def _listing(run: str, said: Mapping[str, Output]) -> str:
    more = f" (`reprise outputs {run}`)" if len(said) > SHOWN else ""
    return f"it left {listed(sorted(said), SHOWN)}{more}"
