"""The entry point: fill the workspace, report, become the command."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


def enter(image: Any, workspace: Path, *argv: str, **env: Any) -> Any:
    entry = str(image.root / "runtime" / "entry.py")
    return image.run("-I", entry, *argv, cwd=workspace, REPRISE_MAIN=None, **env)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_the_source_is_copied_hashed_and_the_command_runs(image: Any, workspace: Path) -> None:
    source = image.root / "source"
    (source / "package" / "deep").mkdir(parents=True)
    (source / "train.py").write_bytes(b"print('trained')\n")
    (source / "package" / "deep" / "größe.bin").write_bytes(bytes(range(256)) * 9000)
    (source / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (source / "run.sh").chmod(0o555)
    (source / "train.py").chmod(0o400)
    (source / "link.py").symlink_to("package/../train.py")
    os.utime(source / "train.py", (315619200, 315619200))
    done = enter(image, workspace, image.python, "link.py")
    assert (done.code, done.out, done.err) == (0, "trained\n", "")
    copied = {path.relative_to(workspace).as_posix(): path for path in workspace.rglob("*")}
    assert set(copied) == {
        "train.py",
        "link.py",
        "run.sh",
        "package",
        "package/deep",
        "package/deep/größe.bin",
    }
    assert copied["package/deep/größe.bin"].read_bytes() == bytes(range(256)) * 9000
    assert os.readlink(copied["link.py"]) == "package/../train.py"
    modes = {name: stat.S_IMODE(path.lstat().st_mode) for name, path in copied.items()}
    assert (modes["train.py"], modes["run.sh"], modes["package/deep"]) == (0o644, 0o755, 0o755)
    assert copied["train.py"].stat().st_mtime == 315619200
    assert done.reports["entry.json"]["source"] == {
        "train.py": sha256(b"print('trained')\n"),
        "run.sh": sha256(b"#!/bin/sh\necho ran\n"),
        "link.py": sha256(b"package/../train.py"),
        "package/deep/größe.bin": sha256(bytes(range(256)) * 9000),
    }


def test_the_command_reports_and_the_entry_point_itself_does_not(image: Any, workspace: Path) -> None:
    """The entry point becomes the command, so both have one pid; by its argv the report is the command's."""
    done = enter(image, workspace, image.python, "-c", "import os; print(os.getpid())")
    assert sorted(done.reports) == [
        f"end-{done.out.strip()}.json",
        "entry.json",
        "stamps.json",
        f"start-{done.out.strip()}.json",
    ]
    assert done.one("start")["argv"][1] == "-c"


def test_packages_are_those_that_import_would_find(image: Any, workspace: Path) -> None:
    site = image.root / "site"
    for folder in ("Job_Own.Package-1.0+cpu.dist-info", "numpy-99.0.dist-info", "old-2.0-py3.11.egg-info"):
        (site / folder).mkdir()
    done = enter(image, workspace, "true")
    packages = done.reports["entry.json"]["packages"]
    assert packages["job-own-package"] == "1.0+cpu"
    assert packages["numpy"] == "99.0"
    assert packages["old"] == "2.0"
    assert list(packages) == sorted(packages)
    assert done.reports["entry.json"]["python"].startswith("3.")


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (("no-such-command", "-x"), 127, "reprise: command not found: no-such-command"),
        (("./absent.sh",), 127, "reprise: command not found: ./absent.sh"),
        (("./plain.txt",), 126, "reprise: permission denied: ./plain.txt"),
        (("./bad.sh",), 127, "reprise: ./bad.sh: the interpreter of its first line is not in the image"),
        (("./empty.sh",), 126, "reprise: ./empty.sh cannot be executed: Exec format error"),
        ((), 125, "reprise: no command was given"),
    ],
)
def test_a_command_that_cannot_run(
    image: Any, workspace: Path, argv: tuple[str, ...], code: int, says: str
) -> None:
    source = image.root / "source"
    (source / "plain.txt").write_text("text")
    for name, text in (("bad.sh", "#!/no/such/interpreter\n"), ("empty.sh", "echo without a first line\n")):
        (source / name).write_text(text)
        (source / name).chmod(0o755)
    done = enter(image, workspace, *argv)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(says)
    assert done.err.count("\n") == 1


def test_a_workspace_that_holds_something_is_refused(image: Any, workspace: Path) -> None:
    (workspace / "left-over").write_text("")
    done = enter(image, workspace, "echo", "ran")
    assert (done.code, done.out) == (125, "")
    assert "not empty" in done.err


def test_lost_and_found_is_nothing(image: Any, workspace: Path) -> None:
    (workspace / "lost+found").mkdir()
    assert enter(image, workspace, "echo", "ran").out == "ran\n"


def test_a_source_that_cannot_be_copied_is_said(image: Any, workspace: Path) -> None:
    (image.root / "source" / "lost+found").write_text("in the way")
    (workspace / "lost+found").mkdir()
    done = enter(image, workspace, "echo", "ran")
    assert (done.code, done.out) == (125, "")
    assert "could not be copied" in done.err


def test_without_source_or_report_folder_it_only_runs_the_command(image: Any, workspace: Path) -> None:
    done = enter(image, workspace, "echo", "ran", REPRISE_SOURCE=None, REPRISE_REPORT="/nowhere")
    assert (done.code, done.out, done.err) == (0, "ran\n", "")


def test_the_command_finds_a_clean_process(image: Any, workspace: Path) -> None:
    """No open descriptor of ours, default signals, umask 022: as a shell would start it."""
    # No pipe, which the shell would hold itself, and a command after ls, which it would else become.
    script = "umask; grep -E 'SigIgn|SigBlk' /proc/self/status; ls /proc/$$/fd; true"
    done = enter(image, workspace, "/bin/sh", "-c", script)
    lines = done.out.splitlines()
    assert lines[0] == "0022"
    ordinary = (1 << 31) - 1  # signals 1 to 31; what lies above is the C library's and comes from our parent
    assert [int(line.split()[1], 16) & ordinary for line in lines[1:3]] == [0, 0]
    assert lines[3:] == ["0", "1", "2"]


def test_exit_codes_and_signals_pass_through(image: Any, workspace: Path) -> None:
    assert enter(image, workspace, "/bin/sh", "-c", "exit 42").code == 42
    assert enter(image, workspace, "/bin/sh", "-c", "kill -TERM $$").code == -15


def test_the_command_comes_from_path(image: Any, workspace: Path) -> None:
    tools = image.root / "empty" / "bin"
    tools.mkdir()
    (tools / "mine").write_text("#!/bin/sh\necho mine $1\n")
    (tools / "mine").chmod(0o755)
    done = enter(image, workspace, "mine", "a b", PATH=f"{tools}:{os.environ['PATH']}")
    assert done.out == "mine a b\n"


def test_python_writes_no_bytecode_beside_the_source(image: Any, workspace: Path) -> None:
    (image.root / "source" / "helper.py").write_text("x = 1\n")
    (image.root / "source" / "train.py").write_text("import helper\n")
    assert enter(image, workspace, image.python, "train.py").code == 0
    assert sorted(path.name for path in workspace.iterdir()) == ["helper.py", "train.py"]
