"""The tracer: what a process trains, step by step, as digests. interpreter_start.py installs it.

It sees, without a change of the user's script: weights before the first step, generators, batches, outputs
of the outermost modules, losses, gradients, parameters. torch_hooks.py says how it sees, tracer.py
whom it watches, process_trace.py what it makes of it, parameter_names.py what things are called,
trace_writer.py what is written.

Rules. Nothing here raises into the user's program, changes a result, a generator, or what a model or an
optimizer pickles to. Digests stay on their device, and come to the host every 50 steps in one copy. What
fails switches the tracer off for good, leaves a "broken" line and a report; the job goes on.

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
    from typing import Any

_tracer: Tracer | None = None


def install(torch: Any, tensors: str, every: int) -> None:
    """Watch this process and those it forks. `tensors`: all or params; `every`: how many steps apart.

    Raises what torch raises where its interface is not what we know; nothing is left half installed then.
    """
    global _tracer
    if _tracer is not None:
        return
    tracer = Tracer(torch, tensors == "all", every)
    attach(torch, tracer)
    _tracer = tracer


def flag() -> str:
    """For the reports: `all:1` where installed, `failed: ...`, or `off`."""
    if _tracer is None:
        return "off"
    return f"failed: {_tracer.dead}" if _tracer.dead else _tracer.asked


def finish() -> None:
    """Write what is pending and the last line, once. Called at every kind of exit that can be seen."""
    if _tracer is not None:
        _tracer.finish()
