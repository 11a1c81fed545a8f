"""Reports an operation that strict determinism refuses: which one, and what the user can do.

torch raises RuntimeError: `put_ does not have a deterministic implementation, but you set
'torch.use_deterministic_algorithms(True)'. ...` (aten/src/ATen/Context.cpp, 2.13). Where the process dies of
it, `refused-<pid>.json` is left: {"op": "put_", "text": torch's first line}. The exception that ended the
program is read from `sys.last_value` at the exit, so no hook of the user's is replaced. Exceptions of threads
are not kept there, so `threading.excepthook` is chained.
"""

from __future__ import annotations

import os
import sys

from .. import report_writer

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from typing import Any

REFUSAL = " does not have a deterministic implementation, but you set"
CUBLAS = "this operation is not deterministic because it uses CuBLAS"
MAX_CAUSES = 20  # exceptions raised from one another
MAX_TEXT = 500  # characters kept

_reported = False


def watch_threads() -> None:
    import threading

    before = threading.excepthook

    def excepthook(args: Any) -> None:
        before(args)
        report(args.exc_value)

    threading.excepthook = excepthook


def at_exit() -> None:
    """Report the exception that ended the program, if one did."""
    report(getattr(sys, "last_value", None))


def report(error: BaseException | None) -> None:
    """Leave the report and one line on standard error, once, if an operation was refused. Never raises."""
    global _reported
    try:
        found = operation(error)
        if found is None or _reported:
            return
        _reported = True
        op, text = found
        report_writer.write(f"refused-{os.getpid()}.json", {"op": op, "text": text})
        if sys.stderr is not None:
            sys.stderr.write(
                f"reprise: {op} has no deterministic form: replace it, or set determinism.level to warn "
                "(it then may differ between runs)\n"
            )
    except Exception as second:  # noqa: BLE001 - any exception here is reported instead of raised
        report_writer.failed("reporting a refused operation", second)


def operation(error: BaseException | None) -> tuple[str, str] | None:
    """(operation, torch's line) of an exception or of one of its causes; None for any other exception.

    Its class does not matter: torch.multiprocessing.spawn puts a child's traceback into its own exception.
    """
    for _ in range(MAX_CAUSES):
        if error is None:
            return None
        for line in str(error).splitlines():
            line = line.strip()
            before, found, _ = line.partition(REFUSAL)
            if found:
                return before.rpartition("Error: ")[2][:100], line[:MAX_TEXT]
            if CUBLAS in line:
                return "a matrix product of cuBLAS", line[:MAX_TEXT]
        error = error.__cause__ or error.__context__
    return None
