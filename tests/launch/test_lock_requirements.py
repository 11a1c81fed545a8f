"""Locking with the real uv, against an index on loopback: what is chosen, what clashes, what is said."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.base_python import with_packages
from support.package_index import PackageIndex, only_this_index, package_index

from orchestrator.errors import InfrastructureError, UsageError
from orchestrator.image.wheels.read_lock import read_lock
from orchestrator.launch.locking import resolve_packages
from orchestrator.launch.locking.base_clashes import LockError
from orchestrator.launch.locking.lock_requirements import LockedRequirements, lock_requirements
from orchestrator.launch.locking.lock_target import LockTarget

PYTHON = with_packages(torch="2.13.0+cpu", numpy="2.4.6", fsspec="2026.9.0", odd="not-a-version")
TARGET = LockTarget(base="cpu", python=PYTHON)
GPU = LockTarget(
    base="cuda",
    python=with_packages(torch="2.13.0", numpy="2.4.6"),
)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    with package_index(tmp_path / "index") as made:
        only_this_index(monkeypatch, made)
        yield made


@pytest.fixture
def quick(index: PackageIndex, monkeypatch: pytest.MonkeyPatch) -> PackageIndex:
    """As `index`, without the second that pip takes to say its settings."""
    monkeypatch.setattr(resolve_packages, "pip_settings", lambda: {"index-url": index.url})
    return index


def pins(locked: LockedRequirements) -> dict[str, str]:
    return {one.pin.name: one.pin.version for one in locked.packages}


def test_what_the_base_has_is_not_locked_again(quick: PackageIndex, tmp_path: Path) -> None:
    quick.add("trainer", "1.0", ["torch>=2", "numpy", "helper"])
    quick.add("trainer", "1.1", ["torch>=2,<3", "numpy>=2", "helper; python_version < '3.12'"])
    quick.add("helper", "3.0", ["winonly; sys_platform == 'win32'"])
    locked = lock_requirements(["Trainer", "torch>=2.9", "numpy"], TARGET)
    assert pins(locked) == {"helper": "3.0", "trainer": "1.1"}
    assert locked.provided == ("fsspec", "numpy", "torch"), "of all that is needed, by PyTorch too"
    assert locked.notes == ()
    assert not any("torch" in path or "numpy" in path for path in quick.asked if path.startswith("/files"))
    path = tmp_path / "requirements.txt"
    path.write_text(locked.text)
    assert [(pin.name, pin.version) for pin in read_lock(path, PYTHON).pins] == [
        ("helper", "3.0"),
        ("trainer", "1.1"),
    ]
    assert lock_requirements(["numpy", "torch>=2.9", "trainer"], TARGET).text == locked.text


def test_the_lock_names_no_place(index: PackageIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    index.add("spam", "1.0")
    index.login = "Basic dXNlcjpzM2NyZXRwYXNz"  # user:s3cretpass
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("//", "//user:s3cretpass@"))
    locked = lock_requirements(["spam"], TARGET)
    assert pins(locked) == {"spam": "1.0"}
    assert not re.search(r"127\.0\.0\.1|http|s3cret|index", locked.text)


def test_a_wrong_login_is_said_without_the_password(
    index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add("spam", "1.0")
    index.login = "Basic other"
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("//", "//user:s3cretpass@"))
    with pytest.raises((LockError, InfrastructureError)) as caught:
        lock_requirements(["spam"], TARGET)
    said = f"{caught.value.message} {caught.value.hint} {getattr(caught.value, 'resolver', '')}"
    assert "s3cretpass" not in said
    assert "login" in said


def test_another_version_of_what_is_not_bound_to_pytorch_comes_before_the_base_s(
    quick: PackageIndex,
) -> None:
    quick.add("numpy", "1.26.4")
    quick.add("numpy", "2.4.6")
    quick.add("numpy", "2.5.0")
    quick.add("old-science", "1.0", ["numpy<2"])
    locked = lock_requirements(["old_science"], TARGET)
    assert pins(locked) == {"numpy": "1.26.4", "old-science": "1.0"}
    assert locked.notes == ("numpy 1.26.4 comes before the 2.4.6 of the base cpu (needed by old-science)",)
    assert pins(lock_requirements(["numpy"], TARGET)) == {}, "the base's fits, and is not renewed"


def test_an_extra_of_what_the_base_has_brings_its_needs(quick: PackageIndex) -> None:
    quick.add("fsspec", "2026.9.0", ["webclient>=1; extra == 'http'"], extras=["http"])
    quick.add("fsspec", "2026.10.0", ["webclient>=2; extra == 'http'"], extras=["http"])
    quick.add("webclient", "1.5")
    quick.add("data-reader", "1.0", ["fsspec[http]>=2023"])
    for lines in (["data-reader"], ["fsspec[http]"]):
        found = pins(lock_requirements(lines, TARGET))
        assert found.pop("data-reader", None) == ("1.0" if lines == ["data-reader"] else None)
        assert found == {"webclient": "1.5"}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["torch==2.9.*"], r"torch==2\.9\.\* is asked for, and the base cpu has torch 2\.13\.0\+cpu"),
        (["old-trainer"], r"old-trainer needs torch<2\.5, and the base cpu has torch 2\.13\.0\+cpu"),
        (["outer"], r"old-trainer needs torch<2\.5, and the base cpu has torch 2\.13\.0\+cpu"),
        (["torchvision"], r"torchvision is made for another build of PyTorch than the CPU build"),
        (["vision-models"], r"torchvision \(needed by vision-models\) is made for another build"),
        (["no-such-package"], r"the package index has no no-such-package"),
        (["needs-absent"], r"the package index has no absent"),
        (["old-trainer==9"], r"the package index has no old-trainer==9"),
        (["built"], r"built has no wheel for Python 3\.11 on x86_64 Linux, and nothing is built"),
        (["other-machine"], r"other-machine has no wheel for Python 3\.11"),
        (["too-new"], r"too-new needs Python>=3\.13; the base cpu has 3\.11\.2"),
        (["one-way", "other-way"], r"no versions fit together: .*-way needs thing"),
        (["thing<2", "thing>=2"], r"no versions fit together: you ask for thing<2; you ask for thing>=2"),
        (["thing[missing]"], r"thing\[missing\]: the newest version .* has no extra called missing"),
        (["torch[optree]"], r"torch\[optree\]: the base cpu has torch, without extras"),
    ],
)
def test_what_cannot_be_locked_is_said_in_words(quick: PackageIndex, lines: list[str], said: str) -> None:
    quick.add("old-trainer", "1.0", ["torch<2.5"])
    quick.add("outer", "1.0", ["old-trainer"])
    quick.add("torchvision", "0.28.0", ["torch==2.13.0"])
    quick.add("vision-models", "1.0", ["torchvision"])
    quick.add("needs-absent", "1.0", ["absent"])
    quick.add_source("built", "1.0")
    quick.add("other-machine", "1.0", tag="cp311-cp311-win_amd64")
    quick.add("too-new", "1.0", python=">=3.13")
    quick.add("one-way", "1.0", ["thing<2"])
    quick.add("other-way", "1.0", ["thing>=2"])
    quick.add("thing", "1.0")
    quick.add("thing", "2.0")
    with pytest.raises(LockError) as caught:
        lock_requirements(lines, TARGET)
    assert re.search(said, caught.value.message), caught.value.message
    assert caught.value.hint
    assert len(caught.value.message) < 700
    assert "+reprise" not in "".join([caught.value.message, caught.value.hint, *caught.value.resolver])


def test_what_has_no_wheel_is_built_by_a_command(quick: PackageIndex) -> None:
    quick.add_source("built", "1.0")
    with pytest.raises(LockError) as caught:
        lock_requirements(["built==1.*"], TARGET)
    assert caught.value.hint is not None
    assert "pip wheel --no-deps 'built==1.*' -w ~/wheels; export PIP_FIND_LINKS=~/w" in caught.value.hint
    quick.add_source("built", "0.8")
    quick.add_source("built", "2.0")
    quick.add("outer", "1.0", ["built==1.*"])
    with pytest.raises(LockError) as caught:
        lock_requirements(["outer"], TARGET)
    assert re.search(r"pip wheel --no-deps 'built==1\.0' -w", caught.value.hint or ""), caught.value.hint


def test_a_pre_release_that_nobody_asked_for_is_noted(quick: PackageIndex) -> None:
    """As hydra-core: each release needs antlr4-python3-runtime, which has no wheel; 1.4.0rc3 does not."""
    quick.add("conf", "1.3", ["built"])
    quick.add("conf", "1.4rc3")
    quick.add_source("built", "1.0")
    locked = lock_requirements(["conf>=1.3"], TARGET)
    assert pins(locked) == {"conf": "1.4rc3"}
    assert locked.notes == ("conf 1.4rc3 is a pre-release: no release fits, from wheels alone",)
    assert lock_requirements(["conf>=1.4rc1"], TARGET).notes == ()


def test_the_way_out_is_a_base_that_fits_or_one_of_your_own(quick: PackageIndex) -> None:
    others = {"old": {"torch": "2.9.1+cpu"}, "vision": {"torch": "2.13.0", "torchvision": "0.28.0"}}
    target = TARGET.model_copy(update={"others": others})
    quick.add("torchvision", "0.28.0", ["torch==2.13.0"])
    hints = {}
    for line in ("torch==2.9.*", "torch==1.13.1", "torchvision"):
        with pytest.raises(LockError) as caught:
            lock_requirements([line], target)
        hints[line] = caught.value.hint or ""
    assert "--base old" in hints["torch==2.9.*"]
    assert "reprise base new NAME --from cpu --requirement 'torch==1.13.1'" in hints["torch==1.13.1"]
    assert "--base vision" in hints["torchvision"]


def test_a_torchvision_for_the_cpu_build_is_taken(quick: PackageIndex) -> None:
    """Where this box's pip has a place for PyTorch's own builds."""
    quick.add("torchvision", "0.28.0", ["torch==2.13.0"])
    quick.add("torchvision", "0.28.0+cpu", ["torch==2.13.0"])
    assert pins(lock_requirements(["torchvision"], TARGET)) == {"torchvision": "0.28.0+cpu"}


def test_a_gpu_build_takes_torchvision_of_the_index(quick: PackageIndex) -> None:
    quick.add("torchvision", "0.28.0", ["torch==2.13.0"])
    quick.add("torchvision", "0.29.0", ["torch==2.14.0"])
    assert pins(lock_requirements(["torchvision"], GPU)) == {"torchvision": "0.28.0"}


def test_versions_of_an_earlier_lock_are_kept_where_they_fit(quick: PackageIndex) -> None:
    for version in ("1.0", "1.1", "2.0"):
        quick.add("thing", version)
    assert pins(lock_requirements(["thing"], TARGET, before={"thing": "1.1"})) == {"thing": "1.1"}
    assert pins(lock_requirements(["thing>1.1"], TARGET, before={"thing": "1.1"})) == {"thing": "2.0"}
    assert pins(lock_requirements(["thing"], TARGET)) == {"thing": "2.0"}


def test_pip_s_own_settings_say_where_packages_come_from(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add("thing", "1.0")
    index.add("thing", "2.0")
    wheel = index.add("beside", "1.0")
    links = tmp_path / "with, comma"
    links.mkdir()
    wheel.rename(links / wheel.name)
    limits = tmp_path / "limits.txt"
    limits.write_text("thing<2  # the team's\n--odd\ntorch<2\n")
    config = tmp_path / "pip.conf"
    config.write_text(
        f"[global]\nindex-url = {index.url}\nconstraint = {limits}\nfind-links = {links.as_uri()}\n"
    )
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("UV_CONSTRAINT", "/nowhere")
    monkeypatch.setenv("UV_PYTHON", "/nowhere")
    monkeypatch.setenv("UV_OVERRIDE", "/nowhere")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "uv.toml").write_text('index-url = "http://127.0.0.1:1/simple"\n')
    assert pins(lock_requirements(["thing", "beside"], TARGET)) == {"thing": "1.0", "beside": "1.0"}


def test_without_an_index_only_folders_are_looked_into(
    index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add("thing", "1.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index.folder))
    assert pins(lock_requirements(["thing"], TARGET)) == {"thing": "1.0"}
    assert index.asked == []


def test_an_index_that_does_not_answer_is_the_box_s_fault(
    index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(InfrastructureError, match="cannot reach the package index"):
        lock_requirements(["thing"], TARGET)


def test_every_line_that_is_no_requirement_is_named(quick: PackageIndex) -> None:
    with pytest.raises(UsageError) as caught:
        lock_requirements(
            ["--index-url http://x", "fine", "a @ file:///etc/passwd", "${HOME}", "-e ."], TARGET
        )
    assert [line.strip()[:20] for line in caught.value.message.splitlines()[1:]] == [
        "an option, not a req",
        "a: comes from an add",
        "the character '$' (U",
        "an option, not a req",
    ]
    assert quick.asked == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_uv_ends_with_the_command_that_started_it(
    index: PackageIndex, tmp_path: Path, number: signal.Signals
) -> None:
    """An index that never answers, and a person who does not wait."""
    index.page = lambda path: time.sleep(60) or b""  # type: ignore[method-assign, func-returns-value]
    marker = f"reprise-lock-test-{os.getpid()}"
    script = (
        "from pathlib import Path\n"
        "from orchestrator.image.image_model import PythonFacts\n"
        "from orchestrator.launch.locking.lock_requirements import lock_requirements\n"
        "from orchestrator.launch.locking.lock_target import LockTarget\n"
        f"facts = PythonFacts.model_validate_json({PYTHON.model_dump_json()!r})\n"
        f"cache = Path({str(tmp_path / marker)!r})\n"
        "lock_requirements(['thing'], LockTarget(base='cpu', python=facts), cache=cache)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    try:
        _wait(lambda: bool(index.asked))
        assert _running(marker)
        process.send_signal(number)
        assert process.wait(30) != 0
        _wait(lambda: not _running(marker))
    finally:
        process.kill()
        process.wait()


def _running(marker: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if marker in text and text.split("\0")[0].endswith("/uv"):
            found.append(text)
    return found


def _wait(fact: object) -> None:
    until = time.monotonic() + 60
    while not fact():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.05)


def test_no_password_of_pip_s_configuration_is_said(
    index: PackageIndex, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index.add("spam", "1.0")
    configuration = tmp_path / "pip.conf"
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
    configuration.write_text("index https//user s3cretpass\n")
    with pytest.raises(InfrastructureError, match="pip's configuration cannot be read") as caught:
        lock_requirements(["spam"], TARGET)
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"
    # pip reads limits from an address itself, when it fetches.
    configuration.write_text("[global]\nconstraint = https://user:s3cretpass@127.0.0.1:9/limits.txt\n")
    assert pins(lock_requirements(["spam"], TARGET)) == {"spam": "1.0"}
