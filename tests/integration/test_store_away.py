"""The store goes away while a job runs: what the job did is there when the store is back."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.box import WAITS, Box, containers, let_go, write_job
from support.small_disk import mount, small_disk

pytestmark = pytest.mark.engine

SCRIPT = f"{WAITS}\nopen('out.bin', 'wb').write(b'x' * 3_000_000)"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 2 MiB: less than the job writes."""
    with small_disk(tmp_path / "disk", 2 << 20) as disk:
        yield disk / "store"


def full(store: Path) -> Callable[[], None]:
    return lambda: mount("-o", "remount,size=50m", str(store.parent))


def read_only(store: Path) -> Callable[[], None]:
    mount("-o", "remount,ro,size=50m", str(store.parent))
    return lambda: mount("-o", "remount,rw", str(store.parent))


def gone(store: Path) -> Callable[[], None]:
    """Another file stands where it was, as after a failed mount."""
    mount("-o", "remount,size=50m", str(store.parent))
    aside = store.with_name("aside")
    shutil.move(store, aside)
    store.write_text("no folder")

    def mend() -> None:
        store.unlink()
        shutil.move(aside, store)

    return mend


@pytest.fixture
def apart(box: Box, store: Path) -> Box:
    """A box whose store is not in its home."""
    return Box(box.settings, {"REPRISE_STORE": str(store)})


def begun(box: Box, spec: Path) -> tuple[subprocess.Popen[str], str]:
    process = box.start("submit", str(spec), "-q")
    while not (lines := box.json("history")["runs"]) or not list(box.settings.attempts.glob("*-1/workspace")):
        assert process.poll() is None, process.communicate()
    return process, lines[0]["id"]


@pytest.mark.parametrize("fault", [full, read_only, gone])
def test_a_run_whose_store_went_away_is_collected_when_it_is_back(
    apart: Box, tmp_path: Path, store: Path, fault: Callable[[Path], Callable[[], None]]
) -> None:
    process, run = begun(apart, write_job(tmp_path / "job", SCRIPT))
    mend = fault(store)
    let_go(apart, run)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 5, told
    assert f"run {run} stays collecting" in told
    assert "Traceback" not in told
    shown = apart.json("show", run)
    assert (shown["state"], shown["outputs"]) == ("collecting", [])
    assert (apart.settings.attempts / f"{run}-1" / "workspace" / "out.bin").stat().st_size == 3_000_000
    again = apart.type("execute", run)
    assert again.code == 5, "not mended yet: nothing is lost by trying"
    subprocess.run(["docker", "rm", "--force", f"run-{run}-1"], check=True, capture_output=True)

    mend()
    # What `show` started may hold the run still, and fail at the store as it was.
    end = time.monotonic() + 120
    while shown["state"] == "collecting" and time.monotonic() < end:
        done = apart.type("worker", "recover")
        assert done.code == 0, done.err
        shown = apart.json("show", run)
    assert (shown["state"], shown["attempt"], shown["exit_code"]) == ("succeeded", 1, 0)
    assert {one["path"]: one["size"] for one in shown["outputs"]}["out.bin"] == 3_000_000
    there = apart.type("outputs", run, "--to", str(tmp_path / "to"))
    assert there.code == 0, there.err
    assert containers(run) == []
    while list(apart.settings.attempts.iterdir()):  # whoever else looked whether there is something to do
        assert time.monotonic() < end, list(apart.settings.attempts.iterdir())
        time.sleep(0.1)


def test_a_trace_that_the_store_has_no_room_for_is_kept_until_it_has(
    apart: Box, tmp_path: Path, store: Path
) -> None:
    """It alone does not fit: given up for that, its run would be recorded as a success all the same."""
    trace = "open('/run/reprise/trace-99999.jsonl', 'w').write('{\"trace\": 1}'.ljust(3_000_000) + chr(10))"
    told = apart.type("submit", str(write_job(tmp_path / "job", trace)), "-q")
    assert (told.code, "stays collecting" in told.err) == (5, True), told.err
    full(store)()
    assert apart.type("worker", "recover").code == 0
    (line,) = apart.json("history")["runs"]
    shown = apart.json("show", line["id"])
    assert shown["state"] == "succeeded"
    assert [one["size"] for one in shown["traces"] if one["pid"] == 99999] == [3_000_001]


def test_what_we_did_to_the_job_is_remembered_until_it_is_collected(
    apart: Box, tmp_path: Path, store: Path
) -> None:
    """A time limit, which the engine later shows as a kill like any other."""
    spec = write_job(tmp_path / "job", f"open('a', 'wb').write(b'x' * 3_000_000)\n{SCRIPT}")
    spec.write_text(spec.read_text() + "resources: {timeout: 3s}\n")
    process, run = begun(apart, spec)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 5, told
    full(store)()
    assert apart.type("worker", "recover").code == 0
    shown = apart.json("show", run)
    assert (shown["state"], shown["failure"]) == ("failed", "timeout")


@pytest.mark.parametrize("address", ["s3://b/x", "s3://-bucket", "/proc/nowhere/store"])
def test_a_store_that_takes_nothing_is_told_before_the_job_begins(
    box: Box, tmp_path: Path, address: str
) -> None:
    spec = write_job(tmp_path / "job", "print('hours of work')")
    outcome = box.type("submit", str(spec), REPRISE_STORE=address)
    assert outcome.code in (2, 5)
    assert "hours of work" not in outcome.out + outcome.err
    assert box.json("history")["runs"] == []


def test_a_job_is_not_ended_by_a_record_that_does_not_answer(box: Box, tmp_path: Path) -> None:
    """Here the file of an SQLite record, held by another writer for longer than anybody waits."""
    process, run = begun(box, write_job(tmp_path / "job", SCRIPT))
    database = box.settings.home / "reprise.db"
    aside = database.with_name("aside.db")
    process.send_signal(signal.SIGSTOP)
    database.rename(aside)
    database.write_bytes(b"not a database, for a while" * 100)
    process.send_signal(signal.SIGCONT)
    let_go(box, run)
    _, told = process.communicate(timeout=180)
    assert process.returncode in (0, 5), told
    aside.replace(database)
    box.type("worker", "recover")
    assert box.json("show", run)["state"] == "succeeded"
