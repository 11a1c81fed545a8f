"""A store whose disk refuses is called by its name: nothing else is blamed for it, or given up."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.small_disk import fill, let_nobody_write, small_disk

from orchestrator.errors import StoreError
from orchestrator.image.image_model import REPORT
from orchestrator.launch.inputs.upload_input import put_input
from orchestrator.launch.session import Session
from orchestrator.launch.watch import Silent
from orchestrator.record.store.blob_store import Store
from orchestrator.record.store.bucket_store import BucketStore
from orchestrator.record.store.folder_store import BlobStore
from orchestrator.run.collect.operation_logs import read_ops
from orchestrator.run.collect.output_files import BlobSink, collect_outputs
from orchestrator.run.collect.trace_files import read_traces
from orchestrator.run.container_log import read_log
from orchestrator.run.log_spool import LogSpool
from orchestrator.settings import load

pytestmark = pytest.mark.server

ROOM = 1 << 20  # bytes of the disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", ROOM) as folder:
        yield folder


def trace(folder: Path, size: int, sink: BlobSink) -> object:
    line = json.dumps({"trace": 1, "rank": 0, "world": 1, "pid": 7, "began": 5}) + "\n"
    (folder / "trace-7.jsonl").write_text(line.ljust(size))
    return read_traces(folder, sink)


def operations(folder: Path, size: int, sink: BlobSink) -> object:
    (folder / "ops-7.jsonl").write_bytes(bytes(size))
    return read_ops(folder, sink)


def output(folder: Path, size: int, sink: BlobSink) -> object:
    (folder / "model.pt").write_bytes(bytes(size))
    return collect_outputs(folder, ("**",), 1 << 30, sink)


def log(folder: Path, size: int, sink: BlobSink) -> object:
    spool = LogSpool(folder / "log")
    spool.add(1, bytes(size))
    spool.close(done=True)
    plan: Any = SimpleNamespace(mounts=[SimpleNamespace(target=REPORT, source=folder / "report")])
    return read_log(cast(Any, None), plan, sink)


def too_small(_disk: Path) -> int:
    return 2 * ROOM


def full(disk: Path) -> int:
    """A short file is written when it is closed."""
    fill(disk)
    return 100


def read_only(disk: Path) -> int:
    let_nobody_write(disk)
    return 100


@pytest.mark.parametrize("fault", [too_small, full, read_only])
@pytest.mark.parametrize("kind", ["folder", "bucket"])
@pytest.mark.parametrize("left", [trace, operations, output, log])
def test_nothing_that_a_run_left_is_given_up_for_a_store_that_refuses(
    tmp_path: Path,
    disk: Path,
    left: Callable[[Path, int, BlobSink], object],
    kind: str,
    fault: Callable[[Path], int],
) -> None:
    """A note in place of a trace would end the run well, and its files would go."""
    folder = tmp_path / "left"
    folder.mkdir()
    store: Store = BlobStore(disk) if kind == "folder" else BucketStore("s3://bucket/x", disk)
    with pytest.raises(StoreError, match=f"storing into .*{disk}") as caught, store.unowned_batch() as batch:
        left(folder, fault(disk), batch)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("fault", "there"), [(too_small, False), (full, False), (read_only, False), (read_only, True)]
)
@pytest.mark.parametrize("folder", [False, True], ids=["a file", "a folder"])
def test_a_store_that_refuses_is_not_blamed_on_the_input(
    tmp_path: Path, disk: Path, fault: Callable[[Path], int], there: bool, folder: bool
) -> None:
    """`there`: its bytes are in the store, and need only be made young."""
    data = tmp_path / "data" / "x.bin"
    data.parent.mkdir()
    with Session(load({"REPRISE_HOME": str(tmp_path / "home"), "REPRISE_STORE": str(disk)})) as session:
        data.write_bytes(bytes(100))
        path = data.parent if folder else data
        if there:
            put_input(session, path, Silent())
        size = fault(disk)
        data.write_bytes(bytes(size))
        with pytest.raises(StoreError, match=f"storing into {disk} failed") as caught:
            put_input(session, path, Silent())
    assert str(path) not in caught.value.message


def test_a_blob_that_cannot_be_made_young_again_is_the_store_s_trouble(disk: Path) -> None:
    store = BlobStore(disk)
    digest = store.put_bytes(b"one")
    with pytest.raises(StoreError, match="Read-only"), store.unowned_uploads() as uploads:
        let_nobody_write(disk)
        uploads.put(digest, 3, lambda: io.BytesIO(b"one"))
