"""Bundles without an engine: what is in the file, what comes out of it, and what is refused."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from support.altered import flipped
from support.base_python import PYTHON
from support.box import Box, stored
from support.examples import tries
from support.failing_disk import Torn
from support.moves_kept import MovesKept
from support.records import finish_run, new_run, stored_output
from support.small_base import put_base

from orchestrator import disk_room
from orchestrator.audit.exports.crate.write_crate import CrateRequest, write_crate
from orchestrator.digest import Digest, canonical_json
from orchestrator.errors import RecordError, RepriseError, StoreError, UsageError
from orchestrator.image.assembly import tar
from orchestrator.image.assembly.assemble import assemble
from orchestrator.image.assembly.load_archive import blob_name
from orchestrator.image.image_layout import ImageLayout
from orchestrator.image.image_model import Image
from orchestrator.image.stored_image import stored_image
from orchestrator.launch.bundles import bundle_archive, bundle_form
from orchestrator.launch.bundles.bundle_archive import Piece, write_archive
from orchestrator.launch.bundles.bundle_form import (
    Bundle,
    BundleInput,
    evidence,
    in_order,
    index_files,
    read_bundle,
    read_listing,
)
from orchestrator.launch.bundles.export_bundle import ExportRequest, export
from orchestrator.launch.bundles.import_bundle import import_bundle
from orchestrator.launch.crash_points import IMPORT_POINTS
from orchestrator.launch.inputs.cache_room import remove
from orchestrator.launch.inputs.fetch_input import materialise
from orchestrator.launch.session import Session
from orchestrator.launch.submit.find_inputs import located_inputs
from orchestrator.launch.submit.rerun_target import facts_of
from orchestrator.launch.watch import Silent
from orchestrator.record.run_record import HistoryFilter
from orchestrator.record.schema import tables
from orchestrator.run.attempt_model import Log, Output, OutputStatus, TraceFile
from orchestrator.settings import load
from orchestrator.spec.inputs import digest_of
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import GitState, SourceFile, SourceTree
from orchestrator.verdict.compare_runs import compare

SILENT = Silent()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with opened(tmp_path / "here") as made:
        yield made


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Session]:
    """Another box: nothing there, and no engine."""
    with opened(tmp_path / "there") as made:
        yield made


def opened(home: Path) -> Session:
    return Session(load({"REPRISE_HOME": str(home), "DOCKER_HOST": "unix:///nowhere"}))


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")


def make_image(session: Session, inputs: dict[str, Digest] | None = None) -> Image:
    """Over a base of one small layer, with a payload of one small file."""
    base = put_base(ImageLayout(session.settings.layout), PYTHON, "tiny")
    program = Program(name="digits", command=("python", "train.py"), params={"lr": 0.1}, inputs=inputs or {})
    source = SourceTree(files=(SourceFile(path="train.py", data=b"print('hello')\n"),))
    files = {"entry.py": b"pass\n", "reprise.pth": b"import sys\n"}
    return assemble(session.settings, base, program, source, files=files)


def record_run(session: Session, image: Image, name: str, **changes: Any) -> str:
    """A finished run with every kind of evidence."""
    store = session.store
    trace, size = store.put_bytes(b'{"e":"end"}\n'), len('{"e":"end"}\n')
    new = new_run(
        id=Digest.of(name.encode()).hex[:16],
        key=name,
        image=facts_of(image),
        program=image.program,
        reference=image.tag,
        git=GitState(commit="c0ffee", dirty=True, patch_digest=store.put_bytes(b"patch")),
        **changes,
    )
    return finish_run(
        session.record,
        new,
        "far box",
        outputs=(
            stored_output(store, "model.pt", b"weights"),
            stored_output(store, "empty", b""),
            Output(path="link", status=OutputStatus.REJECTED, reason="symlink"),
        ),
        metrics={"accuracy": 0.9, "loss": float("nan")},
        log=Log(digest=store.put_bytes(b"log\n"), size=4, truncated=False),
        traces=(
            TraceFile(rank=0, world=1, pid=1, digest=trace, size=size, steps=1, events=1, complete=True),
        ),
    )


@dataclass
class Made:
    image: Image
    original: str
    rerun: str


@pytest.fixture
def made(session: Session) -> Made:
    """An image with a run and its judged rerun."""
    image = make_image(session)
    original = record_run(session, image, "one")
    rerun = record_run(session, image, "two", rerun_of=original)
    record = session.record
    verdict = compare(record.run_with_points(original), record.run_with_points(rerun), session.store.open)
    record.add_verdict(verdict, None, "ada")
    return Made(image, original, rerun)


def write(session: Session, target: str, path: Path, **options: Any) -> Path:
    export(session, ExportRequest(target=target, path=path, **options), SILENT)
    return path


def documents(session: Session, *runs: str) -> list[bytes]:
    return [session.record.transfer.carry(run).to_bytes() for run in runs]


def everything(session: Session) -> dict[str, bytes]:
    """Files below a home: blobs, inputs; not the database, nor the cache of hashes: what is young is not kept
    there, so a slow machine fills it later than a fast one.
    """
    home = session.settings.home
    files = (path for path in home.rglob("*") if path.is_file() and ".db" not in path.name)
    return {str(path.relative_to(home)): path.read_bytes() for path in files}


def member(name: str, data: bytes) -> bytes:
    """A file of a tar, padded."""
    return tar.header(tar.Member(name, data)) + data + bytes(-len(data) % 512)


def members(path: Path) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(path) as archive:
        return {info.name: (info, archive.extractfile(info).read()) for info in archive}  # type: ignore[union-attr]


# What is in it


def test_the_image_the_runs_and_every_blob_that_they_name_come_over(
    session: Session, other: Session, made: Made, tmp_path: Path
) -> None:
    path = write(session, made.image.digest, tmp_path / "b.tar")
    done = import_bundle(other, path, SILENT)
    assert [(one.run, one.new) for one in done.runs] == [(made.original, True), (made.rerun, True)]
    runs = (made.original, made.rerun)
    assert documents(other, *runs) == documents(session, *runs)
    assert other.record.history.verdicts(made.rerun) == session.record.history.verdicts(made.rerun)
    for run in runs:
        for blob in evidence(other.record.run(run)):
            assert other.store.read(blob) == session.store.read(blob)
    found = stored_image(other.settings, made.image.digest)
    assert found is not None
    assert found.manifest == made.image.manifest
    assert all(layer.path is not None and layer.path.is_file() for layer in found.layers)


def test_a_second_import_changes_nothing(
    session: Session, other: Session, made: Made, tmp_path: Path
) -> None:
    path = write(session, made.image.digest, tmp_path / "b.tar")
    import_bundle(other, path, SILENT)

    def stamps() -> dict[str, tuple[int, int]]:
        """A blob that is met again is the same file, and young (gc)."""
        found = {name: os.stat(other.settings.home / name) for name in everything(other)}
        return {
            name: (one.st_ino, 0 if name.startswith("store/sha256/") else one.st_mtime_ns)
            for name, one in found.items()
        }

    first = stamps()
    done = import_bundle(other, path, SILENT)
    assert [(one.new, one.verdicts) for one in done.runs] == [(False, 0), (False, 0)]
    assert stamps() == first
    # Home again, nothing is new either.
    assert not any(one.new for one in import_bundle(session, path, SILENT).runs)


def test_the_same_runs_are_the_same_bytes_from_either_box(
    session: Session, other: Session, made: Made, tmp_path: Path
) -> None:
    first = write(session, made.image.digest, tmp_path / "1.tar").read_bytes()
    assert write(session, made.image.digest, tmp_path / "2.tar").read_bytes() == first
    import_bundle(other, tmp_path / "1.tar", SILENT)
    assert write(other, made.image.digest, tmp_path / "3.tar").read_bytes() == first


def test_a_run_takes_its_original_along_and_an_original_not_its_reruns(
    session: Session, other: Session, made: Made, tmp_path: Path
) -> None:
    alone = import_bundle(other, write(session, made.original, tmp_path / "1.tar"), SILENT)
    assert [one.run for one in alone.runs] == [made.original]
    both = import_bundle(other, write(session, made.rerun[:6], tmp_path / "2.tar"), SILENT)
    assert [(one.run, one.new, one.verdicts) for one in both.runs] == [
        (made.original, False, 0),
        (made.rerun, True, 1),
    ]


def test_an_image_alone(session: Session, other: Session, made: Made, tmp_path: Path) -> None:
    done = import_bundle(other, write(session, made.original, tmp_path / "b.tar", image_only=True), SILENT)
    assert done.runs == ()
    assert stored_image(other.settings, made.image.digest) is not None
    assert not (other.settings.home / "reprise.db").exists(), "nothing to record"


def test_an_image_that_was_never_run(session: Session, other: Session, tmp_path: Path) -> None:
    image = make_image(session)
    assert import_bundle(other, write(session, image.digest, tmp_path / "b.tar"), SILENT).runs == ()


def test_it_is_an_oci_layout_with_one_image(session: Session, made: Made, tmp_path: Path) -> None:
    found = members(write(session, made.image.digest, tmp_path / "b.tar"))
    assert {info.type for info, _ in found.values()} == {tarfile.REGTYPE}
    for name, (_, data) in found.items():
        if name.startswith("blobs/"):
            assert Digest.of(data).hex == name.removeprefix("blobs/sha256/")
    assert json.loads(found["oci-layout"][1]) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads(found["index.json"][1])
    (descriptor,) = index["manifests"]
    assert descriptor["digest"] == made.image.digest
    assert index["annotations"] == {"reprise.bundle": Digest.of(found["reprise.json"][1])}
    (docker,) = json.loads(found["manifest.json"][1])
    assert docker["RepoTags"] == [made.image.tag]
    assert all(name in found for name in (docker["Config"], *docker["Layers"]))


def test_every_column_that_names_a_blob_is_taken_along() -> None:
    """A new one has to be added to `evidence`, or to this list of those that name something else."""
    columns = {
        f"{table.name}.{column.name}"
        for table in tables.METADATA.sorted_tables
        for column in table.columns
        if "digest" in column.name
    }
    images = {"image.digest", "image.config_digest", "image.base_digest", "image.base_config_digest"}
    images |= {"image_layer.digest"}
    # Of input data, which lies outside of the store: `--inputs` takes its bytes along.
    inputs = {"run_input.digest", "input_data.digest", "input_file.digest", "data_version.digest"}
    values = {"fingerprint.bit_digest", "box.bit_digest"}
    carried = {"output.digest", "log.digest", "trace.digest", "git_state.patch_digest"}
    assert columns - images - inputs - values == carried


# Refused before anything is written


def test_an_open_run_stays_here(session: Session, made: Made, tmp_path: Path) -> None:
    new = new_run(image=facts_of(made.image), program=made.image.program)
    session.record.submit(new)
    with pytest.raises(UsageError, match="is queued: an open run"):
        write(session, new.id, tmp_path / "b.tar")
    done = export(session, ExportRequest(target=made.image.digest, path=tmp_path / "c.tar"), SILENT)
    assert done.runs == (made.original, made.rerun)
    assert not (tmp_path / "b.tar").exists()


def test_reruns_of_each_other_are_told(session: Session, made: Made, tmp_path: Path) -> None:
    """As no command writes them: who has the database can."""
    run = tables.run
    rerun = select(run.c.id).where(run.c.public_id == made.rerun).scalar_subquery()
    circle = update(run).where(run.c.public_id == made.original).values(rerun_of=rerun)
    session.record._database.write(lambda connection: connection.execute(circle))
    with pytest.raises(RecordError, match="a rerun of its own rerun"):
        write(session, made.rerun, tmp_path / "b.tar")


def test_a_file_that_is_there_is_kept_unless_forced(session: Session, made: Made, tmp_path: Path) -> None:
    path = tmp_path / "b.tar"
    path.write_text("precious")
    with pytest.raises(UsageError, match="is there already"):
        write(session, made.original, path)
    assert path.read_text() == "precious"
    write(session, made.original, path, force=True)
    assert tarfile.is_tarfile(path)


def test_a_place_where_nothing_can_be_written_is_the_users_mistake(session: Session, made: Made) -> None:
    with pytest.raises(UsageError, match=r"^/proc/x\.tar could not be written: [A-Z]"):
        write(session, made.original, Path("/proc/x.tar"))


@pytest.mark.parametrize("which", ["output", "layer"])
@pytest.mark.parametrize("fault", ["flipped", "cut", "gone"])
def test_a_damaged_blob_is_named_and_no_file_is_left(
    session: Session, made: Made, tmp_path: Path, which: str, fault: str
) -> None:
    if which == "output":
        digest = next(
            one.digest for one in session.record.run(made.original).outputs if one.path == "model.pt"
        )
        assert digest is not None
        path = stored(session.settings.store, digest)
    else:
        digest = made.image.layers[-1].digest
        path = ImageLayout(session.settings.layout).path(digest)
    path.chmod(0o644)
    data = path.read_bytes()
    path.unlink()
    if fault != "gone":
        path.write_bytes(data[:-1] if fault == "cut" else bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(StoreError) as caught:
        write(session, made.original, tmp_path / "out" / "b.tar")
    assert (made.image.digest if which == "layer" and fault != "flipped" else digest) in caught.value.message
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


# Inputs


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "a.csv").write_text("1,2")
    (folder / "same.csv").write_text("1,2")
    (folder / "ümlaut").write_text("x")
    return folder


@pytest.fixture
def with_inputs(session: Session, data: Path, tmp_path: Path) -> Made:
    file = tmp_path / "weights.bin"
    file.write_bytes(bytes(1000))
    inputs = {"set": digest_of(data), "weights": digest_of(file)}
    image = make_image(session, inputs)
    run = record_run(session, image, "one", input_paths={"set": str(data), "weights": str(file)})
    return Made(image, run, run)


def test_input_data_comes_over_and_is_found(
    session: Session, other: Session, with_inputs: Made, data: Path, tmp_path: Path, watch: MovesKept
) -> None:
    path = write(session, with_inputs.original, tmp_path / "b.tar", inputs=True)
    shutil.rmtree(data)
    done = import_bundle(other, path, watch)
    sizes = sum(size for _, size in read_bundle(members(path)["reprise.json"][1]).blobs)
    assert watch.moves == sorted(watch.moves) and watch.moves[-1] == (sizes, sizes)
    assert {item.folder for item in done.inputs} == {True, False}
    run = other.record.run(with_inputs.original)
    found = located_inputs(other, run.program.inputs, run.input_paths, SILENT).paths
    assert (found["set"] / "deep/er/a.csv").read_text() == "1,2"
    assert found["weights"] == tmp_path / "weights.bin", "what lies where it lay is taken"
    assert (found["set"].stat().st_mode & 0o777, (found["set"] / "same.csv").stat().st_mode & 0o777) == (
        0o755,
        0o444,
    )
    # From here it can be carried on.
    assert write(other, run.id, tmp_path / "c.tar", inputs=True).read_bytes() == path.read_bytes()
    before = everything(other)
    import_bundle(other, path, SILENT)
    assert everything(other) == before
    # A damaged copy is mended.
    (found["set"] / "same.csv").unlink()
    (found["set"] / "same.csv").write_text("9,9")
    import_bundle(other, path, SILENT)
    assert (found["set"] / "same.csv").read_text() == "1,2"


def test_input_data_comes_over_where_a_file_has_no_more_links(
    session: Session, other: Session, with_inputs: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(session, with_inputs.original, tmp_path / "b.tar", inputs=True)

    def none(*_: object, **__: object) -> None:
        raise OSError(errno.EMLINK, "Too many links")

    monkeypatch.setattr(os, "link", none)
    for item in import_bundle(other, path, SILENT).inputs:
        assert digest_of(materialise(other, item.digest, SILENT)) == item.digest


def test_a_copy_stays_while_it_is_exported(
    session: Session, other: Session, with_inputs: Made, data: Path, tmp_path: Path
) -> None:
    """Another process makes room in the cache just then."""
    import_bundle(other, write(session, with_inputs.original, tmp_path / "b.tar", inputs=True), SILENT)
    shutil.rmtree(data)
    (tmp_path / "weights.bin").unlink()
    copies = list(other.record.run(with_inputs.original).program.inputs.values())
    freed: list[int] = []

    class Eager(Silent):
        def moved(self, done: int, total: int) -> None:
            freed.extend(remove(other.inputs, digest) for digest in copies)

    export(other, ExportRequest(target=with_inputs.original, path=tmp_path / "c.tar", inputs=True), Eager())
    assert (tmp_path / "c.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert freed and not any(freed)
    request = CrateRequest(path=tmp_path / "crate", inputs=True)
    write_crate(other, other.record.run(with_inputs.original), request, Eager())
    assert (tmp_path / "crate" / "inputs" / "set" / "ümlaut").read_text() == "x"
    assert not any(freed)


def test_a_copy_that_was_here_stays_while_a_bundle_is_imported_and_counts_as_used(
    session: Session, other: Session, with_inputs: Made, tmp_path: Path
) -> None:
    """Another process makes room in the cache just then; the bundle's own copy was not kept."""
    path = write(session, with_inputs.original, tmp_path / "b.tar", inputs=True)
    copies = [item.digest for item in import_bundle(other, path, SILENT).inputs]
    for digest in copies:
        os.utime(other.inputs.use_of(digest), (0, 0))
    freed: list[int] = []

    class Eager(Silent):
        def moved(self, done: int, total: int) -> None:
            freed.extend(remove(other.inputs, digest) for digest in copies)

    import_bundle(other, path, Eager())
    assert freed and not any(freed)
    for digest in copies:
        assert other.inputs.find(digest)[0] is not None
        assert other.inputs.use_of(digest).stat().st_mtime > 0, "it is not the first that goes"
    assert all(remove(other.inputs, digest) for digest in copies), "after the import it may go"


BOUNDS: dict[str, Callable[[Bundle, bytes], int]] = {
    "MAX_BLOBS": lambda bundle, document: len(bundle.blobs),
    "MAX_DOCUMENT": lambda bundle, document: len(document),
    "MAX_RECORD": lambda bundle, document: max(dict(bundle.blobs)[run] for run in bundle.runs),
    "MAX_CONFIG": lambda bundle, document: max(
        dict(bundle.blobs)[one] for one in (bundle.image, bundle.config)
    ),
    "MAX_SMALL": lambda bundle, document: max(
        dict(bundle.blobs)[one.digest] for one in bundle.inputs if one.folder
    ),
}


@pytest.mark.parametrize("bound", BOUNDS)
def test_what_is_exported_is_imported_and_what_no_import_takes_is_not_exported(
    session: Session,
    other: Session,
    with_inputs: Made,
    tmp_path: Path,
    bound: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write(session, with_inputs.original, tmp_path / "b.tar", inputs=True)
    document = members(path)["reprise.json"][1]
    exact = BOUNDS[bound](read_bundle(document), document)
    for module in (bundle_form, bundle_archive):
        monkeypatch.setattr(module, bound, exact - 1, raising=False)
    with pytest.raises(UsageError, match=r"at most|too much for one bundle"):
        write(session, with_inputs.original, tmp_path / "more.tar", inputs=True)
    assert not (tmp_path / "more.tar").exists()
    with pytest.raises(StoreError):
        import_bundle(other, path, SILENT)
    for module in (bundle_form, bundle_archive):
        monkeypatch.setattr(module, bound, exact, raising=False)
    import_bundle(other, write(session, with_inputs.original, tmp_path / "c.tar", inputs=True), SILENT)


def test_a_folder_whose_paths_no_import_takes_is_not_exported(session: Session, tmp_path: Path) -> None:
    """Links make paths that are longer than any on a disk."""
    folder = tmp_path / "links"
    for number in range(18):
        (folder / f"{number}").mkdir(parents=True)
        (folder / f"{number}" / ("x" * 255)).symlink_to(f"../{number + 1}")
    (folder / "17" / ("x" * 255)).unlink()
    (folder / "17" / "file").touch()
    image = make_image(session, {"set": digest_of(folder)})
    run = record_run(session, image, "one", input_paths={"set": str(folder)})
    with pytest.raises(UsageError, match="longer than any"):
        write(session, run, tmp_path / "b.tar", inputs=True)
    assert write(session, run, tmp_path / "b.tar").exists()


@pytest.mark.parametrize("name", ["set", "weights"])
def test_input_data_that_has_changed_is_refused(
    session: Session, with_inputs: Made, data: Path, tmp_path: Path, name: str
) -> None:
    changed = data / "same.csv" if name == "set" else tmp_path / "weights.bin"
    changed.write_bytes(b"9" * changed.stat().st_size)
    with pytest.raises(RepriseError, match=name):
        write(session, with_inputs.original, tmp_path / "b.tar", inputs=True)
    assert not (tmp_path / "b.tar").exists()


@pytest.mark.parametrize(
    "entries",
    [
        [["../x", "0" * 64, 1]],
        [["/x", "0" * 64, 1]],
        [["a//b", "0" * 64, 1]],
        [["a", "0" * 64, 1], ["a", "0" * 64, 1]],
        [["a", "0" * 64, 1], ["a/b", "0" * 64, 1]],
        [["b", "0" * 64, 1], ["a", "0" * 64, 1]],
        [["a", "zz", 1]],
        [["a", "0" * 64, -1]],
        [["a", "0" * 64]],
        [[1, "0" * 64, 1]],
        {"a": 1},
    ],
)
def test_a_listing_that_leaves_its_folder_is_refused(entries: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_listing(canonical_json(entries))


@pytest.mark.parametrize(("size", "held"), [(4, True), (5, False)], ids=["its size", "its bytes"])
def test_a_list_that_is_wrong_about_a_file_is_refused_and_the_file_named(
    session: Session, other: Session, tmp_path: Path, size: int, held: bool
) -> None:
    content = b"12345"
    listing = canonical_json([["deep/a.csv", Digest.of(content).hex, size]])
    item = BundleInput(digest=Digest.of(listing), folder=True)
    image = make_image(session, {"set": item.digest})
    found = members(write(session, record_run(session, image, "one"), tmp_path / "b.tar"))
    blobs = {Digest.of(data): data for name, (_, data) in found.items() if name.startswith("blobs/")}
    bundle = read_bundle(found["reprise.json"][1]).model_copy(update={"inputs": (item,)})
    forged = Draft(bundle, image, blobs)
    for data in (listing, content)[: 1 + held]:
        forged.put(data)
    said = f"input {item.digest} lists deep/a.csv with {size} bytes, and its blob {Digest.of(content)}"
    refused(other, forged.write(tmp_path / "c.tar"), said, "has 5 bytes" if held else "is not in it")


# Thin


def test_a_thin_bundle_needs_the_base_here(
    session: Session, other: Session, made: Made, tmp_path: Path
) -> None:
    path = write(session, made.image.digest, tmp_path / "thin.tar", thin=True)
    base = made.image.layers[0]
    assert f"blobs/sha256/{base.digest.hex}" not in members(path)
    with pytest.raises(StoreError) as caught:
        import_bundle(other, path, SILENT)
    assert f"the base tiny {made.image.base.digest}, and this box lacks it" in caught.value.message
    assert other.record.history.runs_of_image(made.image.digest) == []
    assert stored_image(other.settings, made.image.digest) is None
    ImageLayout(other.settings.layout).put_bytes(ImageLayout(session.settings.layout).read(base.digest))
    assert len(import_bundle(other, path, SILENT).runs) == 2


# Hostile files


@dataclass
class Draft:
    """A bundle taken apart, to be put together in another way."""

    bundle: Bundle
    image: Image
    blobs: dict[Digest, bytes]

    def put(self, data: bytes) -> Digest:
        self.blobs[Digest.of(data)] = data
        return Digest.of(data)

    def with_run(self, number: int, change: Callable[[dict[str, Any]], Any]) -> Draft:
        """With another document for one of the runs."""
        document = json.loads(self.blobs.pop(self.bundle.runs[number]))
        change(document)
        runs = list(self.bundle.runs)
        runs[number] = self.put(json.dumps(document, sort_keys=True).encode())
        return replace(self, bundle=self.bundle.model_copy(update={"runs": tuple(runs)}))

    def write(self, path: Path) -> Path:
        sizes = {digest: len(data) for digest, data in self.blobs.items()}
        bundle = self.bundle.model_copy(update={"blobs": in_order(self.bundle.first, sizes)})
        pieces = {digest: Piece.of(data, "made up") for digest, data in self.blobs.items()}
        write_archive(path, bundle, index_files(self.image, bundle.to_bytes()), pieces, SILENT)
        return path


@pytest.fixture
def draft(session: Session, made: Made, tmp_path: Path) -> Draft:
    found = members(write(session, made.image.digest, tmp_path / "honest.tar"))
    blobs = {Digest.of(data): data for name, (_, data) in found.items() if name.startswith("blobs/")}
    return Draft(read_bundle(found["reprise.json"][1]), made.image, blobs)


def test_what_cannot_be_read_is_named_and_not_the_bundle(tmp_path: Path) -> None:
    digest = Digest.of(bytes(1000))
    torn = Piece(1000, lambda: Torn(bytes(1000)), "layer source")
    bundle = Bundle(image=digest, config=digest, blobs=((digest, 1000),))
    with pytest.raises(StoreError, match=f"layer source .{digest}. cannot be read: Input/output error"):
        write_archive(tmp_path / "x.tar", bundle, {}, {digest: torn}, SILENT)
    assert list(tmp_path.iterdir()) == []


def refused(other: Session, path: Path, *said: str) -> None:
    before = everything(other)
    with pytest.raises((StoreError, UsageError)) as caught:
        import_bundle(other, path, SILENT)
    assert all(text in caught.value.message for text in said), caught.value.message
    assert str(path) in caught.value.message or "run " in caught.value.message
    assert caught.value.hint
    assert other.record.history.lines(HistoryFilter()) == []
    named = {name for name in everything(other) if name.startswith(("store/sha256", "inputs"))}
    assert named <= before.keys()
    assert not (other.settings.home / "imports").exists()


def test_a_draft_that_is_not_changed_is_the_same_file(draft: Draft, tmp_path: Path) -> None:
    assert draft.write(tmp_path / "b.tar").read_bytes() == (tmp_path / "honest.tar").read_bytes()


@pytest.mark.parametrize(
    ("number", "change", "said"),
    [
        (0, lambda d: d["run"]["program"]["params"].update(lr=0.2), "names another program"),
        (0, lambda d: d["run"].update(submitted_by=7), "run.submitted_by"),
        (0, lambda d: d["run"].update(id="0" * 15), "16 hex digits"),
        (0, lambda d: d["run"].update(state="queued"), "not a finished one"),
        (0, lambda d: d["run"].update(exit_code=1 << 80), "exit_code is out of range"),
        (1, lambda d: d["run"].update(rerun_of="0" * 16), "which is neither here nor in the bundle"),
        (1, lambda d: d["run"].update(id=Digest.of(b"one").hex[:16]), ""),
        (1, lambda d: d["verdicts"][0].update(outcome="different"), "speaks of others"),
        (1, lambda d: d["verdicts"][0]["document"].update(surprise=1), "surprise: Extra"),
        (1, lambda d: d["verdicts"][0].update(by="x" * 5000), "a text of more than 4096 bytes"),
        (0, lambda d: d["image"]["layers"].pop(), "names other layers than its image has"),
        (0, lambda d: d["image"]["layers"][0].update(title="x" * 5000), "a text of more than 4096 bytes"),
        (0, lambda d: d["run"]["outputs"].pop(0), "is named by nothing in it"),
        (0, lambda d: d["run"]["log"].update(digest=Digest.of(b"x")), "is not in it"),
        (0, lambda d: d["run"]["log"].update(size=5), "has 4 bytes, run"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(
    other: Session, draft: Draft, tmp_path: Path, number: int, change: Any, said: str
) -> None:
    changed = draft
    for each in (0, 1) if "named by nothing" in said else (number,):  # both runs left the same files
        changed = changed.with_run(each, change)
    refused(other, changed.write(tmp_path / "b.tar"), said)


def test_a_run_that_is_here_with_other_values_is_refused(
    session: Session, other: Session, draft: Draft, tmp_path: Path
) -> None:
    import_bundle(other, tmp_path / "honest.tar", SILENT)
    before = everything(other)
    path = draft.with_run(0, lambda d: d["run"]["metrics"].update(accuracy=0.99)).write(tmp_path / "b.tar")
    with pytest.raises(UsageError, match=r"metrics\.accuracy 0\.9 here, 0\.99 in the bundle"):
        import_bundle(other, path, SILENT)
    assert everything(other) == before


def test_blobs_that_nothing_names_and_other_images_are_refused(
    other: Session, draft: Draft, tmp_path: Path
) -> None:
    draft.put(b"stowaway")
    refused(other, draft.write(tmp_path / "1.tar"), Digest.of(b"stowaway"), "named by nothing")
    del draft.blobs[Digest.of(b"stowaway")]
    layer = draft.image.layers[-1].digest
    data = draft.blobs.pop(layer)
    refused(other, draft.write(tmp_path / "2.tar"), layer, "is not in it")
    draft.blobs[layer] = data
    lying = draft.bundle.model_copy(update={"left_out": (layer,)})
    refused(other, replace(draft, bundle=lying).write(tmp_path / "3.tar"), "is not the base")
    manifest = draft.put(b'{"mediaType": "text/plain"}')
    lying = draft.bundle.model_copy(update={"image": manifest})
    refused(other, replace(draft, bundle=lying).write(tmp_path / "4.tar"), "its image")


def test_blobs_with_other_bytes_are_refused(other: Session, draft: Draft, tmp_path: Path) -> None:
    """The header is right, the bytes are not: once for each kind of blob."""
    honest = (tmp_path / "honest.tar").read_bytes()
    with tarfile.open(tmp_path / "honest.tar") as archive:
        spans = [(info.name, info.offset_data, info.size) for info in archive if info.size]
    for name, start, size in spans:
        for at in (start, start + size - 1):
            (tmp_path / "b.tar").write_bytes(flipped(honest, at, 0x20))
            refused(other, tmp_path / "b.tar", name.rpartition("/")[2] if name.startswith("blobs") else "")


@settings(
    max_examples=tries(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused(
    other: Session, draft: Draft, tmp_path: Path, where: float, bit: int
) -> None:
    data = (tmp_path / "honest.tar").read_bytes()
    (tmp_path / "flipped.tar").write_bytes(flipped(data, int(where * len(data)), 1 << bit))
    refused(other, tmp_path / "flipped.tar")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-512],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data + bytes(512),
        lambda data: b"",
        lambda data: data[:100],
        lambda data: data[:512],
        lambda data: data[512:],
        lambda data: b"\x1f\x8b" + data,
        lambda data: bytes(10240),
    ],
)
def test_files_that_are_cut_or_go_on_are_refused(
    other: Session, draft: Draft, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "b.tar").write_bytes(change((tmp_path / "honest.tar").read_bytes()))
    refused(other, tmp_path / "b.tar")


def test_what_is_not_a_file_is_refused(other: Session, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/null")):
        refused(other, path, "is not a plain file")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_links_and_devices_are_refused(other: Session, draft: Draft, tmp_path: Path, kind: bytes) -> None:
    for place in (0, 1, -1):
        with tarfile.open(tmp_path / "honest.tar") as honest, tarfile.open(tmp_path / "b.tar", "w") as lying:
            infos = list(honest)
            for number, info in enumerate(infos):
                if number == place % len(infos):
                    link = tarfile.TarInfo("blobs/sha256/" + "0" * 64)
                    link.type, link.linkname = kind, "/etc/passwd"
                    lying.addfile(link)
                lying.addfile(info, honest.extractfile(info))
        refused(other, tmp_path / "b.tar")


def test_members_moved_or_doubled_are_refused(other: Session, draft: Draft, tmp_path: Path) -> None:
    found = list(members(tmp_path / "honest.tar").values())

    def write_members(order: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
        parts = [member(info.name, data) for info, data in order]
        (tmp_path / "b.tar").write_bytes(b"".join(parts) + bytes(1024))
        return tmp_path / "b.tar"

    assert write_members(found).read_bytes() == (tmp_path / "honest.tar").read_bytes()
    refused(other, write_members([*found[:-2], found[-1], found[-2]]))
    refused(other, write_members([*found, found[-1]]))
    refused(other, write_members([found[1], found[0], *found[2:]]), "does not begin with reprise.json")
    extra = tarfile.TarInfo("../../etc/cron.d/x")
    refused(other, write_members([*found, (extra, b"x")]))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"[" * 100_000, "not JSON"),
        (b"{}", "format None is not known"),
        (b'{"format": 2, "new": 1}', "format 2 is not known"),
        (b'{"format": 1}', "image"),
        (b'{"format": 1, "image": "latest"}', "image"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_documents_of_other_kinds_are_refused(
    other: Session, tmp_path: Path, document: bytes, said: str
) -> None:
    path = tmp_path / "b.tar"
    path.write_bytes(member("reprise.json", document) + bytes(1024))
    refused(other, path, said)


def test_sizes_that_lie_take_no_memory(other: Session, draft: Draft, tmp_path: Path) -> None:
    path = tmp_path / "b.tar"
    path.write_bytes(tar.header(tar.Member("reprise.json", tar.Span(-1, 0, 1 << 60))) + bytes(1024))
    refused(other, path)
    path.write_bytes(tar.header(tar.Member("reprise.json", tar.Span(-1, 0, 8 << 30))) + bytes(1024))
    refused(other, path)
    sizes = {digest: len(data) for digest, data in draft.blobs.items()}
    for digest in (draft.bundle.runs[0], draft.bundle.config):
        large = in_order(draft.bundle.first, sizes | {digest: 1 << 45})
        document = draft.bundle.model_copy(update={"blobs": large}).to_bytes()
        path.write_bytes(member("reprise.json", document) + bytes(4096))
        refused(other, path)


def with_output(draft: Draft, digest: Digest, size: int) -> Draft:
    def change(document: dict[str, Any]) -> None:
        document["run"]["outputs"][0] |= {"digest": str(digest), "size": size}

    return draft.with_run(0, change)


def test_a_file_of_holes_does_not_fill_the_disk(
    other: Session, draft: Draft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is as long as it says, and its zeros have the digest that it says, and it takes no disk itself."""
    digest, size = Digest.of(b"stands for zeros"), 1 << 40
    large = with_output(draft, digest, size)
    sizes = {one: len(data) for one, data in large.blobs.items()} | {digest: size}
    bundle = large.bundle.model_copy(update={"blobs": in_order(large.bundle.first, sizes)})
    path = tmp_path / "b.tar"
    with path.open("wb") as out:
        for number, (name, data) in enumerate(
            [("reprise.json", bundle.to_bytes())]
            + [(blob_name(one), large.blobs.get(one, b"")) for one, _ in bundle.blobs]
        ):
            if number == 1 + len(bundle.first):
                for file, text in index_files(large.image, bundle.to_bytes()).items():
                    out.write(member(file, text))
            length = size if name == blob_name(digest) else len(data)
            out.write(tar.header(tar.Member(name, tar.Span(-1, 0, length))) + data)
            out.seek(length - len(data) + -length % 512, os.SEEK_CUR)
        out.write(bytes(1024))
    used: list[int] = []
    real = shutil.disk_usage
    monkeypatch.setattr(disk_room.shutil, "disk_usage", lambda place: (used.append(1), real(place))[1])
    refused(other, path, "bytes more are to be written", "free")
    assert len(used) == 1


def test_an_import_ends_before_others_have_filled_the_disk(
    other: Session, draft: Draft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(3000)
    large = with_output(draft, Digest.of(data), len(data))
    large.put(data)
    path = large.write(tmp_path / "b.tar")
    real, left = shutil.disk_usage, iter([1 << 40, disk_room.RESERVE - 1])
    monkeypatch.setattr(disk_room, "LOOK", 1000)
    monkeypatch.setattr(disk_room.shutil, "disk_usage", lambda place: real(place)._replace(free=next(left)))
    refused(other, path, "bytes more are to be written")
    assert next(left, None) is None


# Dying half-way


@pytest.mark.parametrize("point", IMPORT_POINTS)
def test_an_import_that_was_killed_is_done_by_the_next(
    session: Session, other: Session, with_inputs: Made, tmp_path: Path, point: str
) -> None:
    path = write(session, with_inputs.original, tmp_path / "b.tar", inputs=True)
    box = Box(other.settings)
    assert box.type("import", str(path), REPRISE_CRASH_AT=point).code == -9
    assert other.record.history.runs_of_image(with_inputs.image.digest) == []
    done = box.type("import", str(path))
    assert done.code == 0, done.err
    assert documents(other, with_inputs.original) == documents(session, with_inputs.original)
    assert not (other.settings.home / "imports").exists()
    assert not list((other.settings.store / "tmp").iterdir())


def test_two_imports_at_once_record_once(
    session: Session, other: Session, made: Made, tmp_path: Path
) -> None:
    path = write(session, made.image.digest, tmp_path / "b.tar")
    both = [Box(other.settings).start("import", str(path), "--json") for _ in range(2)]
    said = [json.loads(one.communicate()[0]) for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted(run["new"] for one in said for run in one["runs"]) == [False, False, True, True]
    assert documents(other, made.original) == documents(session, made.original)


# As it is typed


def test_what_is_printed_and_how_it_ends(
    session: Session, other: Session, made: Made, tmp_path: Path
) -> None:
    here, there = Box(session.settings), Box(other.settings)
    path = tmp_path / "b.tar"
    wrote = here.type("export", made.rerun, str(path))
    assert wrote.code == 0, wrote.err
    assert f"{made.original} {made.rerun}" in wrote.out
    assert wrote.out.split()[-1] == Digest.of(members(path)["reprise.json"][1])
    assert here.type("export", made.rerun, str(path)).code == 2
    read = there.type("import", str(path))
    assert read.code == 0, read.err
    assert f"next: reprise rerun {made.image.digest[:19]}" in read.out
    assert read.out.split()[-1] == made.image.digest
    path.write_bytes(path.read_bytes()[:-1])
    again = there.type("import", str(path), "--json")
    assert again.code == 5
    assert json.loads(again.err.splitlines()[-1])["error"]["hint"].endswith("nothing was recorded")
