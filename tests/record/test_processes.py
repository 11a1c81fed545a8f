"""Real processes on one database: nothing lost, nothing doubled, nothing half."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from support.processes import fork, killed, together
from support.records import new_run

from orchestrator.errors import FencedError
from orchestrator.record.record import Record, open_record
from orchestrator.record.run_record import HistoryFilter, NewRun
from orchestrator.record.runs.run_states import BATCH
from orchestrator.run.attempt_model import MetricPoint, Output, OutputStatus, Result, State
from orchestrator.settings import Settings, load


def home(settings: Settings) -> dict[str, str]:
    return {"REPRISE_HOME": str(settings.home)}


def submit_some(queue: Any, barrier: Any, number: int, settings: Settings, runs: list[list[NewRun]]) -> None:
    barrier.wait()
    with open_record(settings) as record:
        queue.put([record.submit(new) for new in runs[number]])


@pytest.mark.slow
def test_32_processes_migrate_and_submit_at_once(empty_settings: Settings) -> None:
    settings = empty_settings
    runs = [[new_run(params={"p": p, "n": n}, image=f"i{n}") for n in range(5)] for p in range(32)]
    found = [item for items in together(32, submit_some, settings, runs) for item in items]
    wanted = sorted(new.id for items in runs for new in items)
    assert sorted(run for run, _ in found) == wanted
    assert all(created for _, created in found)
    with open_record(settings) as record:
        assert sorted(line.id for line in record.history.lines(HistoryFilter())) == wanted
        assert {len(line.params) for line in record.history.lines(HistoryFilter())} == {2}
        with record._database.reading() as connection:
            for table, count in (("alembic_version", 1), ("job", 1), ("image", 5)):
                assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == count
            if settings.database_url.startswith("sqlite"):
                assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
                assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []


def test_50_threads_with_one_key_are_one_run(record: Record) -> None:
    barrier = threading.Barrier(50)

    def work(new: NewRun) -> tuple[str, bool]:
        barrier.wait()
        return record.submit(new)

    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(work, [new_run(key="once") for _ in range(50)]))
    assert len({run for run, _ in found}) == 1
    assert sum(created for _, created in found) == 1
    assert len(record.history.lines(HistoryFilter())) == 1


def test_what_prepares_the_file_again_loses_nothing(sqlite_settings: Settings) -> None:
    """As processes do that start while another one migrates; see Sqlite.prepare."""
    code = (
        "from orchestrator.settings import load; from orchestrator.record.record import open_record;"
        "record = open_record(load()); WORK; print(record.ledger.head().size); record.close()"
    )
    environ = {"REPRISE_HOME": str(sqlite_settings.home)}

    def aside(work: str) -> int:
        """In a process that is not forked from this one: it shares no locks with it."""
        command = [sys.executable, "-c", code.replace("WORK", work)]
        return int(subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout)

    with open_record(sqlite_settings) as record:
        record.ledger.add_event("store.swept", None, {})
        record._database.prepare()
        assert aside("record.ledger.add_event('store.swept', None, {})") == 2
        assert aside("pass") == 2
        record.ledger.add_event("store.swept", None, {})
        assert aside("pass") == 3


def claim_all(queue: Any, barrier: Any, number: int, settings: Settings, runs: list[str]) -> None:
    mine = []
    with open_record(settings) as record:
        barrier.wait()
        for run in runs:
            try:
                assert record.claim(run, f"box {number}", "boot", f"pid {os.getpid()}") == 1
            except FencedError:
                continue
            mine.append(run)
    queue.put(mine)


@pytest.mark.slow
def test_16_processes_claim_60_runs_once_each(settings: Settings) -> None:
    with open_record(settings) as record:
        runs = [record.submit(new_run())[0] for _ in range(60)]
    claimed = [run for mine in together(16, claim_all, settings, runs) for run in mine]
    assert sorted(claimed) == sorted(runs)


def finish_and_die(settings: Settings, run: str, result: Result, after: str) -> None:
    """Die as by kill -9 when the statement that inserts into the table `after` has run."""
    with open_record(settings) as record:

        def die(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            if statement.startswith(f"INSERT INTO {after} "):
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(record._database.engine, "after_cursor_execute", die)
        record.finish(run, 1, result)


@pytest.mark.parametrize("after", ["metric", "output", "note"])
def test_a_kill_in_the_middle_of_finish_leaves_the_old_state_whole(settings: Settings, after: str) -> None:
    rows = range(BATCH + 1000)  # more than one statement inserts
    outputs = tuple(Output(path=f"{n}", status=OutputStatus.KEPT, size=n) for n in rows)
    series = tuple(MetricPoint(name="loss", step=n, value=n) for n in rows)
    result = Result(state=State.SUCCEEDED, metrics={"a": 1.0}, outputs=outputs, series=series, notes=("n",))
    with open_record(settings) as record:
        run, _ = record.submit(new_run())
        record.claim(run, "box", "boot", "pid 1")
        before = record.run(run)
    killed(finish_and_die, settings, run, result, after)
    with open_record(settings) as record:
        assert record.run(run) == before
        record.finish(run, 1, result)
        assert record.run(run).outputs == outputs
        assert record.run_with_points(run).series == series


def as_somebody(queue: Any, work: Callable[..., None], *arguments: Any) -> None:
    """Without root's power to write anywhere."""
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    try:
        work(*arguments)
        queue.put("done")
    except Exception as error:  # noqa: BLE001  (told to the parent)
        queue.put((type(error).__name__, getattr(error, "message", str(error)), getattr(error, "hint", None)))


def submit_one(folder: Path, new: NewRun) -> None:
    # Somebody else may not even look into the checkout, where the flavours are looked for by default.
    with open_record(load({"REPRISE_HOME": str(folder), "REPRISE_IMAGES": str(folder)})) as record:
        record.submit(new)


def test_a_database_that_cannot_be_written_says_how_to_mend_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = Path(tempfile.mkdtemp())  # tmp_path lies in a folder that only its owner may enter
    try:
        with open_record(load({"REPRISE_HOME": str(folder)})) as record:
            record.submit(new_run())
            for path in (folder, *folder.iterdir()):
                path.chmod(0o555 if path.is_dir() else 0o444)
            queue = fork.Queue()
            process = fork.Process(target=as_somebody, args=(queue, submit_one, folder, new_run()))
            process.start()
            kind, message, hint = queue.get(timeout=120)
            process.join()
        assert kind == "RecordError"
        assert str(folder) in message
        assert "readonly" in message or "unable to open" in message
        assert "REPRISE_HOME" in hint
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
