"""The container's entry point: `python -I /opt/reprise/runtime/entry.py ARGV…`.

It copies the job's source into the working directory, leaves `entry.json` (packages, source hashes,
Python), and becomes the command. Exit codes as a shell's: 127 not found, 126 not executable, and 125 when
the container is not in the state that a job needs.
"""

# Every millisecond here is a part of each job's start: no pathlib (9 ms), no typing (4), no json (7).
# ruff: noqa: PTH100, PTH102, PTH109, PTH112, PTH113, PTH115, PTH118, PTH120, PTH122, PTH123, PTH208, PTH211
# ruff: noqa: PTH103, PTH116

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # `signal` builds enums for 4 ms
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

UNUSABLE, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127
IGNORED = frozenset({"lost+found"})  # what a fresh file system may hold


def main(argv: list[str]) -> NoReturn:
    os.umask(0o022)
    if not argv:
        stop(UNUSABLE, "no command was given")
    workspace = os.getcwd()
    source = os.environ.get("REPRISE_SOURCE", "")
    hashes, stamps = copy_source(source, workspace) if source and os.path.isdir(source) else ({}, {})
    report = sibling("report_writer")
    make_homes(report)
    deny_alg(report)
    try:
        facts = {"packages": packages(), "source": hashes, "python": sys.version.split()[0]}
        report.write("entry.json", facts)
        report.write("stamps.json", stamps)
    except OSError as error:  # the record will say that nothing was reported; the job still runs
        report.failed("the entry point's report", error)
    become(argv)


def make_homes(report: Any) -> None:
    """The folders of HOME and XDG_CACHE_HOME, which lie in a /tmp that starts empty."""
    for name in ("HOME", "XDG_CACHE_HOME"):
        try:
            if os.environ.get(name):
                os.makedirs(os.environ[name], 0o700, exist_ok=True)
        except OSError as error:  # the job may not need it
            report.failed(f"making {name}", error)


def deny_alg(report: Any) -> None:
    """Close AF_ALG to the job (seccomp.py), or refuse to start it.

    Where the engine's own filter is in force, filters work here, so a job without ours is not contained as it
    should be. Where there is none, the kernel has no filters or the engine's owner wants none: ours alone
    would contain nothing, so the job starts, and the record says that the filter is missing.
    """
    try:
        sibling("seccomp").deny_alg()
    except (ImportError, OSError) as error:
        if filtered():
            stop(UNUSABLE, f"AF_ALG sockets cannot be denied to the job: {error}")
        report.failed("denying AF_ALG sockets", error)


def filtered() -> bool:
    """Whether a filter of system calls is in force for this process: the engine's."""
    try:
        with open("/proc/self/status", "rb") as stream:
            return any(line.split() == [b"Seccomp:", b"2"] for line in stream)
    except OSError:
        return True  # a hidden /proc does not show that the engine sets no filter


def sibling(name: str) -> Any:
    """A module beside this file, as every interpreter of the image names it (reprise.pth)."""
    package = sys.modules.setdefault("_reprise", type(sys)("_reprise"))
    vars(package).setdefault("__path__", [os.path.dirname(os.path.abspath(__file__))])
    return getattr(__import__(f"_reprise.{name}"), name)


def copy_source(source: str, workspace: str) -> tuple[dict[str, str], dict[str, list[int]]]:
    """Copy a tree: files 0644 or 0755, times kept.

    Returns path -> SHA-256 hex (for a link, of its target's text), and path -> `stamp` of the copy, which
    shows later whether the job wrote the file. The stamp of the workspace itself has the path `.`.
    """
    from hashlib import sha256

    if set(os.listdir(workspace)) - IGNORED:
        stop(UNUSABLE, f"the working directory {workspace} is not empty: a job starts in an empty one")
    hashes: dict[str, str] = {}
    stamps = {".": stamp(os.stat(workspace))}
    try:
        folders = [""]
        while folders:
            folder = folders.pop()
            with os.scandir(os.path.join(source, folder)) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    path = f"{folder}{entry.name}"
                    target = f"{workspace}/{path}"
                    if entry.is_symlink():
                        text = os.readlink(entry.path)
                        os.symlink(text, target)
                        hashes[path] = sha256(os.fsencode(text)).hexdigest()
                        stamps[path] = stamp(os.lstat(target))
                    elif entry.is_dir():
                        os.mkdir(target, 0o755)
                        folders.append(f"{path}/")
                    else:
                        hashes[path], stamps[path] = copy_file(entry.path, target, sha256())
    except OSError as error:
        stop(UNUSABLE, f"the source could not be copied to {workspace}: {error}")
    return hashes, stamps


def stamp(facts: os.stat_result) -> list[int]:
    """Inode, ctime and mtime in nanoseconds, mode, size."""
    return [facts.st_ino, facts.st_ctime_ns, facts.st_mtime_ns, facts.st_mode & 0o7777, facts.st_size]


def copy_file(path: str, target: str, hasher: Any) -> tuple[str, list[int]]:
    reader = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        facts = os.fstat(reader)
        mode = 0o755 if facts.st_mode & 0o111 else 0o644
        writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            while chunk := os.read(reader, 1 << 20):
                hasher.update(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[os.write(writer, view) :]
            os.utime(writer, ns=(facts.st_mtime_ns, facts.st_mtime_ns))
            copied = stamp(os.fstat(writer))
        finally:
            os.close(writer)
    finally:
        os.close(reader)
    return str(hasher.hexdigest()), copied


def packages() -> dict[str, str]:
    """Distributions that this interpreter finds, name -> version, by the names of their metadata folders.

    Names are normalised as PEP 503 says. The job's own come first, as on sys.path: the first one counts.
    """
    found: dict[str, str] = {}
    folders = [os.environ.get("REPRISE_SITE", ""), *(path for path in sys.path if path.endswith("-packages"))]
    for folder in folders:
        if not os.path.isdir(folder):
            continue
        for entry in sorted(os.listdir(folder)):
            stem, suffix = os.path.splitext(entry)
            if suffix in (".dist-info", ".egg-info"):
                name, _, version = stem.partition("-")
                found.setdefault(normal(name), version.partition("-py")[0])
    return dict(sorted(found.items()))


def normal(name: str) -> str:
    return "-".join(filter(None, name.lower().replace("_", "-").replace(".", "-").split("-")))


def become(argv: list[str]) -> NoReturn:
    """Replace this process by the command, with signals as a program expects them."""
    for name in ("SIGPIPE", "SIGXFSZ", "SIGXFZ"):  # Python ignores them, and that would be inherited
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    environment = dict(os.environ, REPRISE_MAIN="1")
    try:
        os.execvpe(argv[0], argv, environment)  # noqa: S606 - to become the command is the point
    except PermissionError:
        stop(NOT_EXECUTABLE, f"permission denied: {argv[0]} (is its executable bit set?)")
    except (FileNotFoundError, NotADirectoryError):
        if os.path.isfile(argv[0]):
            stop(NOT_FOUND, f"{argv[0]}: the interpreter of its first line is not in the image")
        stop(NOT_FOUND, f"command not found: {argv[0]}")
    except OSError as error:
        stop(NOT_EXECUTABLE, f"{argv[0]} cannot be executed: {error.strerror} (no #! line?)")


def stop(code: int, message: str) -> NoReturn:
    sys.stderr.write(f"reprise: {message}\n")
    sys.stderr.flush()
    raise SystemExit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
