"""The tracer: digests of what a process trains, step by step. interpreter_start.py installs it.

Without a change of the user's script it sees: weights before the first step, generators, batches, outputs of
the outermost modules, losses, gradients, parameters. torch_hooks.py attaches it to torch, tracer.py filters
which calls count, process_trace.py makes events of them, parameter_names.py names the tensors, and
trace_writer.py writes the file.

Rules. Nothing here raises into the user's program, or changes a result, a generator, or what a model or an
optimizer pickles to. Digests stay on their device, and come to the host in one copy, after 50 steps or one
second. A failure switches the tracer off for good, and leaves a "broken" line and a report; the job goes on.

Not seen: batches and outputs within a compiled function, and of any module that is not compiled itself once
the job has used torch.compile; steps within code compiled with fullgraph=True; optimizers that never call
`Optimizer.__init__` (their losses are seen); what DataLoader workers do; modules called within `torch.func`
transforms; what a CUDA graph does when it is replayed; other threads than the first that trains.
"""

from __future__ import annotations

from .torch_hooks import attach
from .tracer import Tracer

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_tracer: Tracer | None = None


def install(torch: Any, tensors: str, every: int, beside: Callable[[], None]) -> None:
    """Watch this process and those it forks. `tensors`: all or params; `every`: how many steps apart.

    `beside` writes what belongs to the lines that are about to be written because a second has passed.

    Raises what torch raises where its interface is another than the known one; then nothing stays installed.
    """
    global _tracer
    if _tracer is not None:
        return
    tracer = Tracer(torch, tensors == "all", every, beside)
    attach(torch, tracer)
    _tracer = tracer


def flag() -> str:
    """For the reports: `all:1` where installed, `failed: ...`, or `off`."""
    if _tracer is None:
        return "off"
    return f"failed: {_tracer.dead}" if _tracer.dead else _tracer.asked


def finish() -> None:
    """Write what is pending and the last line, once. Called at every exit except a kill."""
    if _tracer is not None:
        _tracer.finish()
