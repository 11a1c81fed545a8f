"""What a run of another record may hold: texts of bounded length, numbers that columns take.

What this box records is bounded where it is read; all of a bundle was written by somebody else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.spec.inputs import InputData, folder_digest

if TYPE_CHECKING:
    from orchestrator.record.run_record import ImageFacts, RunRecord

NAME = 1300  # bytes: of a metric, package; as an index takes it
LINE = 4096  # bytes: who submitted, a box, a reference, a branch
TEXT = 1 << 16  # bytes: a message, a description, a note
PATH = 1 << 15  # bytes of a path with its escapes
NOTES = 10_000
LOGGED = 10_000  # parameters that a script logged
ATTEMPTS = 1_000_000
LAYERS = 1000  # of an image; engines take 127
VERSIONS = (1 << 31) - 1
_LINES = ("submitted_by", "box", "reference")
CODES = range(-(1 << 31), 1 << 31)
SIZES = range(1 << 63)  # files, bytes: as a column takes them


def beyond(run: RunRecord) -> str | None:
    """The first field that is longer or larger than we ever record, in words; None without one."""
    for name, size, most in _sizes(run):
        if size > most:
            return f"{name} has {size}, more than {most}"
    if run.exit_code is not None and run.exit_code not in CODES:
        return "exit_code is out of range"
    return None


def image_problem(image: ImageFacts) -> str | None:
    """What no image of ours has, as words after its name; None without such."""
    if len(image.layers) > LAYERS:
        return f"has more than {LAYERS} layers"
    texts = (image.base.name, *(text for one in image.layers for text in (one.title, one.media_type)))
    if any(_bytes(text) > LINE for text in texts):
        return f"has a text of more than {LINE} bytes"
    return None


def input_problem(data: InputData) -> str | None:
    """What keeps this from being data that somebody hashed, as words after its name; None without a problem.

    The list of a folder's files has the folder's digest. Without a list only the digest's form is known.
    """
    if (
        data.count not in SIZES
        or data.size not in SIZES
        or any(file.size not in SIZES for file in data.files)
    ):
        return "has a size that no data have"
    if any(_bytes(file.path) > PATH for file in data.files):
        return f"has a path of more than {PATH} bytes"
    entries = [(file.path, file.digest.hex, file.size) for file in data.files]
    told = (len(entries), sum(size for _, _, size in entries))
    if entries and not (
        data.folder and (data.count, data.size) == told and folder_digest(entries) == data.digest
    ):
        return f"is no folder of these files: {data.digest}"
    return None


def _sizes(run: RunRecord) -> Iterator[tuple[str, int, int]]:
    yield "attempt", run.attempt, ATTEMPTS
    yield "wanted.attempts", run.wanted.attempts, ATTEMPTS
    for name in type(run).model_fields:
        if isinstance(text := getattr(run, name), str):
            yield name, _bytes(text), LINE if name in _LINES else TEXT
    for name in ("executor", "box", "not_box"):
        yield f"wanted.{name}", _bytes(getattr(run.wanted, name)), LINE
    yield "notes", len(run.notes), NOTES
    for note in run.notes:
        yield "notes", _bytes(note), TEXT
    for name in ("metrics", "packages"):
        for key in getattr(run, name):
            yield name, _bytes(key), NAME
    for text in run.packages.values():
        yield "packages", _bytes(text), LINE
    for path in (*run.source, *(output.path for output in run.outputs), *run.input_paths.values()):
        yield "paths", _bytes(path), PATH
    for origin in run.input_origins.values():
        for name, most in (("asked", PATH), ("data", NAME), ("path", PATH)):
            yield f"input_origins.{name}", _bytes(getattr(origin, name)), most
        yield "input_origins.version", origin.version or 0, VERSIONS
    yield "logged", len(run.logged), LOGGED
    for name, item in run.logged.items():
        yield "logged", _bytes(name), NAME
        yield "logged.source", _bytes(item.source), PATH
        yield "logged.value", _bytes(str(item.value)) if isinstance(item.value, str) else 0, TEXT
    for output in run.outputs:
        yield "outputs.reason", _bytes(output.reason), LINE
    if run.git is not None:
        for name in ("remote", "commit", "branch", "author"):
            yield f"git.{name}", _bytes(getattr(run.git, name)), LINE
        yield "git.subject", _bytes(run.git.subject), TEXT


def _bytes(text: str | None) -> int:
    return len((text or "").encode("utf-8", "replace"))
