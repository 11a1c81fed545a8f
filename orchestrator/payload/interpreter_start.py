"""What every interpreter of the image does first, called by the line in `reprise.pth`.

It puts the job's wheels on sys.path, and sets determinism settings and seeds as soon as torch, numpy or
random have been imported. Nothing in here may raise into the user's program: an error is reported in
`error-<pid>.json`, and the job goes on, visibly not instrumented.

Three kinds of processes write a report: those that import torch, the first Python process of each command
that the entry point's process tree runs (it removes REPRISE_MAIN from its environment), and those that start
Python without our variables, where nobody watches it. A process that was killed, or left by os._exit, has a
report of its start and none of its end; where its flags had moved while it trained, it has one of what they
were last.
"""

# Importing pathlib costs 9 ms, and every exception here is reported instead of raised.
# ruff: noqa: PTH112, BLE001

from __future__ import annotations

import os
import sys

from . import exception_report, process_seeds, report_writer
from .post_import import PostImport

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from typing import Any

    from .post_import import Action

MAIN = "REPRISE_MAIN"  # set by the entry point
TRACE = "REPRISE_TRACE"  # `all:1`, `params:10`: which tensors, every how many optimizer steps; absent: none
LOCALISE = "REPRISE_LOCALISE"  # `12:1`: log every operation of one step from step 12 on

_begun = False
_first: dict[str, object] = {}  # flags as first seen by this process
_seen: dict[str, object] = {}  # flags as last written while this process trained
_reporting = 0  # pid of the process that reports; a forked child inherits the number and has another pid
_unset: dict[str, str] = {}  # settings that could not be set, and why
_unwatched = False  # whether this process, or the one that forked it, started Python without our variables
_trace = "off"  # the flag `trace`; "" where the tracer is installed and gives the flag itself


def begin() -> None:
    """Never raises. Does nothing where REPRISE_LEVEL is not set, and nothing when called again: in a virtual
    environment, site processes each .pth file twice.
    """
    global _begun
    level = os.environ.get("REPRISE_LEVEL")
    if not level or _begun:
        return
    _begun = True
    try:
        add_site(os.environ.get("REPRISE_SITE", ""))
    except Exception as error:
        report_writer.failed("adding the job's packages", error)
    try:
        threads = int(os.environ["REPRISE_THREADS"])
        process_seeds.begin(int(os.environ["REPRISE_SEED"]), note_unwatched)
        trace = os.environ.get(TRACE, "")
        actions: dict[str, Action] = {
            "random": guarded("seeding random", process_seeds.seed_random),
            "numpy.random": guarded("seeding numpy", process_seeds.seed_numpy),
            "multiprocessing.process": guarded("watching processes", exception_report.on_process),
            "multiprocessing.spawn": guarded("numbering processes", process_seeds.on_spawn),
            "torch": guarded("setting torch", lambda module: on_torch(module, level, threads, trace)),
        }
        PostImport(actions).install()
        exception_report.install()
        if os.environ.pop(MAIN, None):
            write_start()
    except Exception as error:
        report_writer.failed("the start of the runtime", error)


def add_site(folder: str) -> None:
    """Put the job's packages before the base's, and process their .pth files as site-packages' own are."""
    if not folder or folder in sys.path or not os.path.isdir(folder):
        return
    import site

    before = list(sys.path)
    site.addsitedir(folder, set(before))
    added = [path for path in sys.path if path not in before]
    rest = [path for path in sys.path if path in before]
    place = next((index for index, path in enumerate(rest) if path.endswith("-packages")), len(rest))
    sys.path[:] = rest[:place] + added + rest[place:]


def guarded(what: str, action: Action) -> Action:
    def run(module: Any) -> None:
        try:
            action(module)
        except Exception as error:
            report_writer.failed(what, error)

    return run


def on_torch(torch: Any, level: str, threads: int, trace: str) -> None:
    """Apply the settings, seed every device, then start the tracer, whose failure must not hide how torch was
    set.
    """
    from .determinism import torch_settings

    global _trace
    _unset.update(torch_settings.apply_torch(torch, level, threads))
    process_seeds.seed_torch(torch)
    if level == "strict":
        watch_refusals()
    try:
        _trace = start_trace(torch, trace)
    except Exception as error:
        report_writer.failed("the trace", error)
        _trace = f"failed: {type(error).__name__}: {error}"
    write_start()
    if os.environ.get(LOCALISE):
        from .tracer import operation_log

        guarded("the log of operations", lambda module: operation_log.install(module, os.environ[LOCALISE]))(
            torch
        )


def watch_refusals() -> None:
    from . import exit_calls
    from .determinism import refused_operation

    refused_operation.watch_threads()
    exit_calls.call_at_exit(refused_operation.at_exit)


def start_trace(torch: Any, wanted: str) -> str:
    """Start the tracer if one is wanted and there is a folder for its file. Returns the flag `trace`."""
    if not wanted or not os.path.isdir(report_writer.FOLDER):
        return "off"
    from .tracer import install_tracer

    tensors, _, every = wanted.partition(":")
    install_tracer.install(torch, tensors, int(every), write_moved)
    return ""


def note_unwatched() -> None:
    """Report it, once, and now: this process may become that Python itself."""
    global _unwatched
    if _unwatched:
        return
    _unwatched = True
    try:
        if os.getpid() != _reporting:
            write_start()
        _report("now", {**_first, **read(libraries=False)})
    except Exception as error:
        report_writer.failed("reporting a Python that is not watched", error)


def write_start() -> None:
    global _reporting
    pid = os.getpid()
    if pid != _reporting:  # a forked child that imports torch itself starts its own report
        _first.clear()
        _seen.clear()
        _reporting = pid
        from .exit_calls import call_at_exit

        call_at_exit(end)
    for name, value in read().items():
        _first.setdefault(name, value)
    _report("start", _first)


def write_moved() -> None:
    """While the process trains: write the flags where they have moved, for a kill leaves no end."""
    global _reporting
    if os.getpid() != _reporting:
        return
    try:
        flags = {**_first, **read(libraries=False)}
        if flags == (_seen or _first):
            return
        _seen.update(flags)
        if not flags.keys() <= _first.keys():  # they could not be read before, and have not changed
            for name, value in flags.items():
                _first.setdefault(name, value)
            _report("start", _first)
        _report("now", flags)
    except Exception as error:
        _reporting = 0  # once
        report_writer.failed("the read-back while the job trains", error)


def _report(kind: str, flags: dict[str, object]) -> None:
    pid = os.getpid()
    report_writer.write(f"{kind}-{pid}.json", {"pid": pid, "argv": report_writer.argv(), "flags": flags})


def end() -> None:
    """Write the flags as they are now. A flag that could not be read before is added to the start's report,
    too: it was seen once and has not changed.
    """
    if os.getpid() != _reporting:
        return
    try:
        if not _trace:
            finish_trace()
        flags = read()
        _report("end", flags)
        if not flags.keys() <= _first.keys():
            _report("start", {**flags, **_first})
    except Exception as error:
        report_writer.failed("the read-back at the end", error)


def read(libraries: bool = True) -> dict[str, object]:
    from .determinism import readback

    flags: dict[str, object] = dict(readback.flags(libraries))
    if _unwatched:
        flags["python.unwatched"] = True
    if "torch" in sys.modules:
        flags["trace"] = _trace or trace_flag()
        flags["settings.unset"] = "; ".join(f"{name}: {why}" for name, why in sorted(_unset.items()))
    return flags


def finish_trace() -> None:
    """Called before the flags are read: the flag `trace` says whether the tracer broke."""
    from .tracer import install_tracer

    install_tracer.finish()


def trace_flag() -> str:
    from .tracer import install_tracer

    return install_tracer.flag()
