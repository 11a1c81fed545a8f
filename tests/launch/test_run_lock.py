"""One executor per run, with real processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from orchestrator.errors import StoreError
from orchestrator.launch.execute.run_lock import lock_path, run_lock
from orchestrator.launch.interrupt import Interrupt
from orchestrator.settings import Settings, load

fork = multiprocessing.get_context("fork")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"REPRISE_HOME": str(tmp_path / "home")})


def _hold(settings: Settings, held: Event) -> None:
    with run_lock(settings, "run") as mine:
        assert mine
        held.set()
        time.sleep(60)


def test_another_process_is_refused_at_once_until_the_holder_is_killed(settings: Settings) -> None:
    held = fork.Event()
    process = fork.Process(target=_hold, args=(settings, held))
    process.start()
    assert held.wait(120)
    with run_lock(settings, "run") as mine:
        assert not mine
    assert lock_path(settings, "run").exists()
    with run_lock(settings, "other") as mine:
        assert mine
    process.kill()
    process.join()
    with run_lock(settings, "run") as mine:
        assert mine
    assert list(settings.attempts.iterdir()) == []


def test_the_same_process_does_not_get_it_twice(settings: Settings) -> None:
    with run_lock(settings, "run") as first, run_lock(settings, "run") as second:
        assert (first, second) == (True, False)


def test_an_error_inside_frees_it(settings: Settings) -> None:
    with pytest.raises(ZeroDivisionError), run_lock(settings, "run"):
        raise ZeroDivisionError
    with run_lock(settings, "run") as mine:
        assert mine


def _contend(
    settings: Settings, inside: Path, until: float, results: multiprocessing.Queue[tuple[int, int]]
) -> None:
    entered = together = 0
    while time.monotonic() < until:
        with run_lock(settings, "run") as mine:
            if not mine:
                continue
            entered += 1
            try:
                os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
                inside.unlink()
            except FileExistsError:
                together += 1
    results.put((entered, together))


def test_no_two_are_inside_while_holders_unlink_the_file(settings: Settings, tmp_path: Path) -> None:
    results: multiprocessing.Queue[tuple[int, int]] = fork.Queue()
    until = time.monotonic() + 1.5
    processes = [
        fork.Process(target=_contend, args=(settings, tmp_path / "inside", until, results)) for _ in range(6)
    ]
    for process in processes:
        process.start()
    found = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert sum(entered for entered, _ in found) > 100
    assert sum(together for _, together in found) == 0


def test_a_home_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with (
        pytest.raises(StoreError, match="cannot make the lock"),
        run_lock(load({"REPRISE_HOME": str(tmp_path / "home")}), "run"),
    ):
        pass


def test_the_first_signal_asks_and_the_second_acts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupt() as interrupt:
        assert not interrupt.asked
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGTERM)
            assert not interrupt.asked
    finally:
        signal.signal(signal.SIGTERM, before)


def test_outside_the_main_thread_nothing_changes() -> None:
    found: list[object] = []

    def work() -> None:
        with Interrupt():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]
