"""Fetching with the real pip, from a folder: nothing here needs a network."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.processes import together
from support.services import free_port

from orchestrator.digest import Digest
from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.image.image_model import PythonFacts
from orchestrator.image.wheels import fetch_wheels as module
from orchestrator.image.wheels.fetch_wheels import WheelFile, fetch_wheels
from orchestrator.image.wheels.read_lock import read_lock
from orchestrator.settings import Settings

Fetch = Callable[[Path], tuple[WheelFile, ...]]


@pytest.fixture(autouse=True)
def only_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip with no configuration but the requirements file's own."""
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


def write_lock(tmp_path: Path, *lines: str, links: str = "dist") -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text("\n".join(["--no-index", f"--find-links {links}", *lines]) + "\n")
    return path


def line(path: Path, digest: str | None = None) -> str:
    name, version = path.name.split("-")[:2]
    return f"{name}=={version} --hash=sha256:{digest or Digest.of_file(path).hex}"


def test_wheels_for_the_target_are_fetched_verified_and_kept(
    fetch: Fetch, settings: Settings, tmp_path: Path, make_wheel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pure = make_wheel("pure_one")
    right = make_wheel("native", tag="cp311-cp311-manylinux_2_28_x86_64")
    wrong = make_wheel("native", tag="cp312-cp312-manylinux_2_28_x86_64", files={"n.py": b"312"})
    newer = make_wheel("native", tag="cp311-cp311-manylinux_2_99_x86_64", files={"n.py": b"299"})
    hashes = " ".join(f"--hash=sha256:{Digest.of_file(path).hex}" for path in (right, wrong, newer))
    lock = write_lock(tmp_path, line(pure), f"native==1.0 {hashes}")
    found = fetch(lock)
    assert [(wheel.name, wheel.version, wheel.filename) for wheel in found] == [
        ("native", "1.0", right.name),
        ("pure-one", "1.0", pure.name),
    ]
    for wheel in found:
        assert wheel.path == settings.wheels / wheel.digest.hex / wheel.filename
        assert Digest.of_file(wheel.path) == wheel.digest
    assert not list(settings.wheels.glob(".download-*"))

    monkeypatch.setattr(module, "download", _no_pip)
    assert fetch(lock) == found


def _no_pip(*_: object) -> None:
    raise AssertionError("pip was asked again")


def test_a_wheel_that_left_the_cache_is_fetched_again(fetch: Fetch, tmp_path: Path, make_wheel: Any) -> None:
    lock = write_lock(tmp_path, line(make_wheel("spam")))
    (wheel,) = fetch(lock)
    for damage in (lambda: wheel.path.unlink(), lambda: wheel.path.write_bytes(b"short")):
        damage()
        assert fetch(lock) == (wheel,)
        assert Digest.of_file(wheel.path) == wheel.digest


def test_a_single_hash_is_taken_from_another_locks_wheels(
    fetch: Fetch, tmp_path: Path, make_wheel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spam = make_wheel("spam")
    fetch(write_lock(tmp_path, line(spam)))
    monkeypatch.setattr(module, "download", _no_pip)
    (wheel,) = fetch(write_lock(tmp_path, "# another file", line(spam)))
    assert wheel.filename == spam.name


def test_another_target_is_asked_for_anew(
    fetch: Fetch, settings: Settings, python: PythonFacts, tmp_path: Path, make_wheel: Any
) -> None:
    paths = [make_wheel("native", tag=f"cp{minor}-none-any") for minor in ("311", "312")]
    hashes = " ".join(f"--hash=sha256:{Digest.of_file(path).hex}" for path in paths)
    lock = write_lock(tmp_path, f"native==1.0 {hashes}")
    other = python.model_copy(update={"version": "3.12.4"})
    assert fetch(lock)[0].filename == paths[0].name
    assert fetch_wheels(settings, lock, other)[0].filename == paths[1].name


def test_a_lock_that_was_made_for_another_python_is_refused(
    fetch: Fetch, python: PythonFacts, tmp_path: Path
) -> None:
    """The versions in it are kept where it is locked anew, so it can be read all the same."""
    path = tmp_path / "requirements.lock"
    text = "# Locked by `reprise lock`{} for Python {}, x86_64; what the base has is left out.\n"
    for names in ("", " from requirements.txt, requirements.in"):
        path.write_text(text.format(names, "3.11"))
        assert fetch(path) == ()
        path.write_text(text.format(names, "3.12"))
        with pytest.raises(UsageError, match=r"was locked for Python 3\.12, and the base has 3\.11\.2"):
            fetch(path)
        assert read_lock(path, python).pins == ()


def test_a_lock_without_wheels_for_the_target_is_empty(fetch: Fetch, tmp_path: Path) -> None:
    lock = write_lock(tmp_path, f"win==1 ; sys_platform == 'win32' --hash=sha256:{'a' * 64}")
    assert fetch(lock) == ()


def test_other_bytes_than_locked_are_an_infrastructure_error_that_names_them(
    fetch: Fetch, settings: Settings, tmp_path: Path, make_wheel: Any
) -> None:
    spam = make_wheel("spam")
    with pytest.raises(InfrastructureError) as caught:
        fetch(write_lock(tmp_path, line(spam, "0" * 64)))
    assert "spam==1.0" in caught.value.message
    assert Digest.of_file(spam).hex in caught.value.message
    assert "\n" not in caught.value.message
    assert not list(settings.wheels.rglob("*.whl"))


def test_another_build_of_the_version_in_the_users_folder_is_passed_over(
    fetch: Fetch, tmp_path: Path, make_wheel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = make_wheel("spam", version="2.0")
    other = make_wheel("spam", version="2.0+cpu", files={"spam.py": b"cpu"})
    mine = tmp_path / "mine"
    mine.mkdir()
    other.rename(mine / other.name)
    monkeypatch.setenv("PIP_FIND_LINKS", str(mine))
    (wheel,) = fetch(write_lock(tmp_path, line(locked)))
    assert (wheel.filename, wheel.digest) == (locked.name, Digest.of_file(locked))


def test_a_lock_may_write_a_version_shorter_than_its_wheel(
    fetch: Fetch, tmp_path: Path, make_wheel: Any
) -> None:
    spam = make_wheel("spam", version="2.0.0")
    lock = write_lock(tmp_path, f"spam==2.0 --hash=sha256:{Digest.of_file(spam).hex}")
    assert fetch(lock)[0].filename == spam.name


def test_a_package_that_is_not_there_is_named(fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    with pytest.raises(UsageError, match=r"absent==1\.0") as caught:
        fetch(write_lock(tmp_path, f"absent==1.0 --hash=sha256:{'a' * 64}"))
    assert "\n" not in caught.value.message
    assert "only wheels" in (caught.value.hint or "")


def test_an_sdist_is_refused(fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    sdist = tmp_path / "dist" / "spam-1.0.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("spam-1.0/setup.py"))
    with pytest.raises(UsageError, match=r"spam==1\.0") as caught:
        fetch(write_lock(tmp_path, f"spam==1.0 --hash=sha256:{Digest.of_file(sdist).hex}"))
    assert "only wheels" in (caught.value.hint or "")


def test_an_index_that_does_not_answer_is_infrastructure(
    fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_TIMEOUT", "1")
    lock = tmp_path / "requirements.txt"
    lock.write_text(
        f"--index-url http://127.0.0.1:{free_port()}/simple\nspam==1.0 --hash=sha256:{'a' * 64}\n"
    )
    with pytest.raises(InfrastructureError, match="cannot reach"):
        fetch(lock)


def test_a_pylock_with_files_beside_it(fetch: Fetch, tmp_path: Path, make_wheel: Any) -> None:
    spam = make_wheel("spam")
    lock = tmp_path / "pylock.toml"
    lock.write_text(
        f"""\
lock-version = "1.0"
created-by = "a test"
[[packages]]
name = "spam"
version = "1.0"
[[packages.wheels]]
path = "dist/{spam.name}"
hashes = {{sha256 = "{Digest.of_file(spam).hex}"}}
"""
    )
    (wheel,) = fetch(lock)
    assert wheel.digest == Digest.of_file(spam)


def fetch_once(queue: Any, barrier: Any, _number: int, fetch: Fetch, lock: Path) -> None:
    barrier.wait()
    queue.put(fetch(lock))


def test_processes_that_fetch_at_once_all_end_with_the_same(
    fetch: Fetch, tmp_path: Path, make_wheel: Any
) -> None:
    lock = write_lock(tmp_path, line(make_wheel("one")), line(make_wheel("two")))
    results: list[tuple[WheelFile, ...]] = together(3, fetch_once, fetch, lock)
    assert results[0] == results[1] == results[2]
    assert all(Digest.of_file(wheel.path) == wheel.digest for wheel in results[0])
