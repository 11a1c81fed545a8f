from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import tries
from support.made_up_attempt import MemorySink

from orchestrator.payload import entry
from orchestrator.run.collect.output_files import collect_outputs
from orchestrator.run.collect.starting_source import Stamp, StartingSource

NAMES = ("one", "two", "three")
WROTE = ("same", "other", "cut", "replace", "anew", "back", "touched back")
LEFT = ("mode", "link", "read")


def begun(folder: Path, files: dict[str, str]) -> tuple[Path, StartingSource]:
    """A workspace that has its source, as the entry point copies it there."""
    source, work = folder / "source", folder / "work"
    work.mkdir()
    source.mkdir()
    for name, text in files.items():
        (source / name).write_text(text)
        os.utime(source / name, ns=(0, 0))
    hashes, stamps = entry.copy_source(str(source), str(work))
    names = tuple(Stamp.model_fields)
    return work, StartingSource(
        hashes=hashes,
        stamps={path: Stamp(**dict(zip(names, numbers, strict=True))) for path, numbers in stamps.items()},
    )


def do(file: Path, what: str) -> None:
    """One thing that programs do to a file that holds `x`, once the clock of the file system has ticked."""
    time.sleep(0.012)
    if what == "same":
        file.write_text("x")
    elif what == "other":
        file.write_text("y")
    elif what == "cut":
        with file.open("r+") as stream:
            stream.write("xyz")
            stream.truncate(1)
    elif what == "replace":
        new = file.with_name("new")
        new.write_text("x")
        new.replace(file)
    elif what == "anew":
        file.unlink()
        file.write_text("x")
    elif what in ("back", "touched back"):
        old = file.stat()
        if what == "back":
            file.write_text("x")
        os.utime(file, ns=(old.st_atime_ns, old.st_mtime_ns))
    elif what == "mode":
        file.chmod(0o700)
    elif what == "link":
        file.with_name(f"{file.name}2").hardlink_to(file)
    else:
        file.read_text()


@settings(max_examples=tries(100))
@given(
    st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(WROTE), max_size=3)),
    st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(LEFT), max_size=3, unique=True)),
)
def test_what_was_written_is_an_output_and_nothing_else_is(
    wrote: dict[str, list[str]], left: dict[str, list[str]]
) -> None:
    with tempfile.TemporaryDirectory() as root:
        work, began = begun(Path(root), dict.fromkeys(NAMES, "x"))
        written = {name for name in NAMES if wrote.get(name)}
        linked = set()
        for name in NAMES:
            for what in wrote.get(name, ()) if name in written else left.get(name, ()):
                do(work / name, what)
                linked |= {f"{name}2"} if what == "link" else set()
        found = collect_outputs(work, ("**",), 1 << 20, MemorySink(), began)
        assert {output.path for output in found.outputs} == written | linked
        said = " ".join(found.notes)
        assert {name for name in NAMES if f" {name}" in said} == written


def test_stamps_of_another_view_of_the_files_are_not_believed(tmp_path: Path) -> None:
    work, began = begun(tmp_path, {"a": "x"})
    stamps = {
        path: stamp.model_copy(update={"inode": stamp.inode + 1}) for path, stamp in began.stamps.items()
    }
    for other in (StartingSource(hashes=began.hashes, stamps=stamps), StartingSource(hashes=began.hashes)):
        assert collect_outputs(work, ("**",), 1 << 20, MemorySink(), other).outputs == ()


def test_a_huge_sparse_file_under_a_name_of_the_source_is_not_hashed(tmp_path: Path) -> None:
    work, began = begun(tmp_path, {"a": "x"})
    os.truncate(work / "a", 1 << 43)
    for told in (began, StartingSource(hashes=began.hashes)):
        assert collect_outputs(work, ("b",), 1 << 20, MemorySink(), told).notes[0].endswith("changed a")


@pytest.mark.parametrize("appended", [True, False])
def test_what_was_there_before_something_was_appended_is_the_sources(tmp_path: Path, appended: bool) -> None:
    work, began = begun(tmp_path, {"m.jsonl": "old\n"})
    assert began.brought(work, "m.jsonl") == 4
    with (work / "m.jsonl").open("a" if appended else "w") as stream:
        stream.write("new line\n")
    assert began.brought(work, "m.jsonl") == (4 if appended else 0)
    (work / "m.jsonl").write_text("old\n")
    assert began.brought(work, "m.jsonl") == 0
