"""What the hooks call. It filters the calls, hands them to the trace, and handles its failures."""

from __future__ import annotations

import os
import threading

from .. import report_writer
from ..tensor_digest.digester import capturing
from .parameter_names import CreationOrder
from .process_state import data_worker
from .process_trace import ProcessTrace

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LAST = 20  # seconds that an exit waits for an event which another thread is recording

_left: list[Any] = []  # traces of parent processes: never touched, never freed


class ThreadState(threading.local):
    """For each thread: its depth in calls of modules, the recorded outermost call, a backward pass."""

    depth = 0
    module = ""
    backward = False


class Tracer:
    """What the hooks call, in any thread; none of it raises."""

    def __init__(self, torch: Any, everything: bool, every: int, beside: Callable[[], None]) -> None:
        self.beside = beside
        self.torch = torch
        self.everything = everything
        self.every = every
        self.asked = f"{'all' if everything else 'params'}:{every}"
        self.stack_length = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 0)
        functorch = getattr(torch._C, "_functorch", None)
        self.transform = getattr(functorch, "peek_interpreter_stack", lambda: None)
        self.graph_task = getattr(torch._C, "_current_graph_task_id", lambda: -1)
        self.creation = CreationOrder()
        self.dead = ""  # why it was switched off
        self.begin()

    def begin(self) -> None:
        """Set the state of a process that has not trained: at installation, and in a forked child."""
        self.lock = threading.RLock()
        self.local = ThreadState()
        self.trace = ProcessTrace(self.torch, self.creation, self.everything, self.every, self.beside)
        self.trainer: int | None = None
        self.done = False

    # Life

    def forked(self) -> None:
        """In a forked child: start afresh, and leave the lines and the file to the parent."""
        _left.append(self.trace)
        inherited = self.trace.writer.descriptor
        if inherited >= 0:
            os.close(inherited)
        self.begin()

    def fail(self, error: BaseException) -> None:
        if self.dead:
            return
        self.dead = f"{type(error).__name__}: {error}"[:300]
        try:
            self.trace.writer.broken(self.dead, self.trace.steps)
        except OSError as second:
            self.dead += f"; and the trace could not say so: {second}"
        report_writer.failed("the trace", error)

    def finish(self) -> None:
        if self.dead or self.done or not self.trace.writer.started():
            return
        if not self.lock.acquire(timeout=LAST):
            self.fail(TimeoutError(f"another thread was in the tracer for {LAST} seconds at the exit"))
            return
        try:
            self.done = True
            self.trace.writer.end(self.trace.steps)
        except Exception as error:  # noqa: BLE001 - never into the user's program
            self.fail(error)
        finally:
            self.lock.release()

    def guarded(self, trains: bool, action: Callable[..., Any], *args: Any) -> Any:
        """Call a function of the trace. `trains`: the call shows that this thread trains.

        Does nothing after a failure, after the end, and where tensors may not be touched.
        """
        if self.dead or self.done:
            return None
        try:
            with self.lock:
                if self.ours(trains, action) and self.touchable():
                    return action(*args)
        except Exception as error:  # noqa: BLE001 - never into the user's program
            self.fail(error)
        return None

    def touchable(self) -> bool:
        torch = self.torch
        return not (
            torch.compiler.is_compiling()
            or torch._C._get_tracing_state() is not None
            or self.stack_length()
            or self.transform() is not None
            or data_worker()
            or (torch.cuda.is_initialized() and capturing(torch))
        )

    def ours(self, trains: bool, action: Callable[..., Any]) -> bool:
        """Whether this thread is the one that is watched: the first that runs a backward pass or a step.

        Events of two threads would come in an order that no rerun repeats. Once that thread is gone, another
        may take its place. Before there is one, any thread may call modules, and the main one load batches.
        """
        me = threading.get_ident()
        if self.trainer == me:
            return True
        if self.trainer is None or self.trainer not in threading._active:  # type: ignore[attr-defined]
            if trains:
                self.trainer = me
            return action != self.trace.loaded or threading.current_thread() is threading.main_thread()
        if self.graph_task() != -1:  # one of autograd's own threads, at work for another thread
            return True
        writer = self.trace.writer
        writer.others = writer.others or trains
        return False

    # What the hooks call

    def enter(self, module: Any, args: tuple[Any, ...]) -> None:
        """A module is called. Only a thread's outermost call counts, and none within a backward pass."""
        local = self.local
        local.depth += 1
        if local.depth > 1:
            return
        local.module = ""
        if not self.torch.is_grad_enabled() and self.trace.due():
            self.guarded(False, self.trace.evaluated)
        if not self.torch.is_grad_enabled() or self.graph_task() != -1 or vars(module).get("_is_replica"):
            return
        local.module = self.guarded(False, self.trace.called, module, args) or ""

    def leave(self, kwargs: dict[str, Any], result: Any) -> None:
        """A module has returned. Its keywords are known only now: global hooks before a call get none."""
        local = self.local
        local.depth -= 1
        if local.depth > 0:
            return
        local.depth = 0
        if local.module and result is not None:
            self.guarded(False, self.trace.returned, local.module, kwargs, result)

    def backward(self, roots: Any) -> bool:
        """A backward pass begins. Returns whether it is this thread's outermost, so that its end counts."""
        if self.local.backward or self.graph_task() != -1:
            return False
        self.local.backward = True
        self.guarded(True, self.trace.lost, roots)
        return True

    def batch(self, data: Any) -> None:
        if self.everything and self.torch.is_grad_enabled():
            self.guarded(False, self.trace.loaded, data)

    def before_step(self, optimizer: Any) -> None:
        self.guarded(True, self.trace.about_to_step, optimizer)

    def after_step(self, optimizer: Any) -> None:
        self.local.depth = 0  # calls of modules that were interrupted are over
        self.guarded(True, self.trace.stepped, optimizer)
