"""Outputs copied into a folder: names are untrusted, bytes are verified, nothing is overwritten unasked.

Links are made last and only where they stay in the folder, so nothing is ever written through one.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from orchestrator.digest import Digest, Hashed, chunks_of
from orchestrator.disk_room import hint_after
from orchestrator.durable import new_file
from orchestrator.errors import InfrastructureError, StoreError, UsageError
from orchestrator.message_wording import listed
from orchestrator.run.attempt_model import Output, OutputStatus

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SHOWN = 5


def why_not(output: Output) -> str | None:
    """Why an output cannot be copied; None where it can."""
    if output.status is OutputStatus.KEPT:
        return None
    text = output.link
    if text is None:
        return output.reason or "no reason recorded"
    return None if stays_inside(output.path, text) else f"a link to {text}, which leads outside"


def stays_inside(path: str, text: str) -> bool:
    """Whether a link at `path` with this text stays in the folder that holds all outputs."""
    from orchestrator.image.assembly.tar import check_symlink

    try:
        check_symlink(path, os.fsencode(text))
    except (UsageError, ValueError):
        return False
    return True


def copy_outputs(
    outputs: Sequence[Output], target: Path, open_blob: Callable[[Digest], BinaryIO], force: bool
) -> int:
    """Copy outputs that can be copied (`why_not`) to `target/<path>`; returns the bytes written.

    Links in `target` are never followed, not even with `force`. Raises UsageError where something is in
    the way, StoreError where a blob's bytes do not have its digest; no such file remains.
    """
    parts = {output.path: _parts(output.path) for output in outputs}
    if not force:
        _refuse_existing(target, list(parts))
    written = 0
    try:
        target.mkdir(parents=True, exist_ok=True)
        root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # the folder that the user named
    except OSError as error:
        raise UsageError(f"cannot write to {target}: {error.strerror}", "name another folder") from error
    try:
        for output in outputs:
            if output.digest is not None:
                written += _copy(root, parts[output.path], output, output.digest, open_blob, force)
        for output in outputs:
            if output.link is not None and why_not(output) is None:
                _link(root, parts[output.path], output.path, output.link, force)
    finally:
        os.close(root)
    return written


def _parts(path: str) -> tuple[str, ...]:
    """The components of a recorded path. It was checked when it was collected; it is checked again here."""
    parts = tuple(path.split("/"))
    if any(part in ("", ".", "..") or "\x00" in part for part in parts):
        raise StoreError(f"the record holds an output with an unsafe path: {path!r}")
    return parts


def _refuse_existing(target: Path, paths: list[str]) -> None:
    there = [path for path in paths if os.path.lexists(target / path)]
    if there:
        raise UsageError(
            f"already in {target}: {listed(there, _SHOWN)}",
            "name another folder, or --force to replace them",
        )


def _copy(
    root: int,
    parts: tuple[str, ...],
    output: Output,
    digest: Digest,
    open_blob: Callable[[Digest], BinaryIO],
    force: bool,
) -> int:
    with (
        _telling(output.path),
        _opened(root, parts[:-1]) as folder,
        _placing(folder, parts[-1], force) as stream,
    ):
        return _copy_verified(open_blob(digest), stream, digest, output.path, output.size)


def _link(root: int, parts: tuple[str, ...], path: str, text: str, force: bool) -> None:
    with _telling(path), _opened(root, parts[:-1]) as folder:
        name = f".reprise-{secrets.token_hex(6)}.tmp" if force else parts[-1]
        os.symlink(text, name, dir_fd=folder)
        if force:
            try:
                os.replace(name, parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                os.unlink(name, dir_fd=folder)
                raise


@contextmanager
def _telling(path: str) -> Iterator[None]:
    """Errors at `path` become messages for people."""
    try:
        yield
    except FileExistsError as error:
        raise UsageError(f"{path} appeared in the folder meanwhile", "name another folder") from error
    except OSError as error:
        message = f"cannot write {path}: {error.strerror}"
        if isinstance(error, NotADirectoryError | IsADirectoryError):
            # O_NOFOLLOW on a link to a folder says "not a directory" as well.
            raise UsageError(f"{message} (a link or a file is in the way)", "name another folder") from error
        raise InfrastructureError(message, hint_after(error, "make room, or name another folder")) from error


@contextmanager
def _opened(root: int, names: tuple[str, ...]) -> Iterator[int]:
    """The folder `names` under `root`, made where it is missing, each step opened without following."""
    current = os.dup(root)
    try:
        for name in names:
            with suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=current)
            below = os.open(name, _FOLDER, dir_fd=current)
            os.close(current)
            current = below
        yield current
    finally:
        os.close(current)


@contextmanager
def _placing(folder: int, name: str, force: bool) -> Iterator[BinaryIO]:
    """A stream whose bytes become `name` when all is well. Without `force` the name is reserved first."""
    if not force:
        os.close(os.open(name, _NEW, 0o644, dir_fd=folder))
    path = Path(f"/proc/self/fd/{folder}", name)  # leads to the open folder, even where its name does not
    try:
        with new_file(path) as made:
            yield made.stream
            made.keep(path, durable=False)
    except BaseException:
        if not force:
            os.unlink(name, dir_fd=folder)
        raise


def _copy_verified(source: BinaryIO, stream: BinaryIO, digest: Digest, path: str, most: int) -> int:
    """Copy `most` bytes, the recorded size, and no more: a forged blob could fill the disk."""
    with source:
        passing = Hashed(chunks_of(source, most + 1))
        stream.writelines(passing)
    if passing.digest != digest:
        raise StoreError(f"{path}: the store's bytes are not those of {digest}", "the store is damaged")
    return passing.size
