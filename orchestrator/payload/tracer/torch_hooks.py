"""Attaches the tracer to torch, without a change of the user's code.

Optimizers, modules: torch's global hooks. Losses: `torch.autograd.backward`, which Tensor.backward looks up
when it is called. Batches: `_BaseDataLoaderIter.__next__`. Exits: atexit, multiprocessing's own, os._exit.

torch.compile. Dynamo would trace the hooks, guard on them, and warn of those on modules. So the first use of
`torch.compile` takes the hooks off modules for good; outermost calls of compiled modules are seen instead
where they are called, and the remaining hooks are marked as not to be traced. Before it they are not: marking
imports torch._dynamo, which takes a second. A compiled `Optimizer.step` breaks its graph there, where torch
itself breaks it too; with fullgraph=True it must not, so then steps within compiled code are not seen.
"""

from __future__ import annotations

import functools
import os
import sys

from ..exit_calls import call_at_any_exit

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from typing import Any

    from .tracer import Tracer


def attach(torch: Any, tracer: Tracer) -> None:
    """Attach the hooks, and finish the trace at the exit. All look-ups come before the first change."""
    hooks = TracerHooks(torch, tracer)
    hooks.attach()
    os.register_at_fork(after_in_child=tracer.forked)
    call_at_any_exit(tracer.finish)


class GlobalHooks:
    """torch's global hooks on the calls of modules and on the steps of optimizers."""

    def __init__(self, torch: Any) -> None:
        self.modules = torch.nn.modules.module
        self.optimizers = sys.modules["torch.optim.optimizer"]
        self.of_modules: list[Any] = []
        self.of_optimizers: list[Any] = []

    def on_modules(self, before: Any, after: Any, **options: Any) -> None:
        self.of_modules.append(self.modules.register_module_forward_pre_hook(before))
        self.of_modules.append(self.modules.register_module_forward_hook(after, **options))

    def off_modules(self) -> None:
        self._remove(self.of_modules)

    def on_steps(self, before: Any, after: Any) -> None:
        """Set the hooks on optimizers, in place of those that are set."""
        self._remove(self.of_optimizers)
        self.of_optimizers.append(self.optimizers.register_optimizer_step_pre_hook(before))
        self.of_optimizers.append(self.optimizers.register_optimizer_step_post_hook(after))

    def off(self) -> None:
        self._remove(self.of_modules)
        self._remove(self.of_optimizers)

    def _remove(self, handles: list[Any]) -> None:
        for handle in handles:
            handle.remove()
            # remove() leaves this entry (2.13), and torch.compile would warn of a hook that is gone.
            getattr(self.modules, "_global_forward_hooks_with_kwargs", {}).pop(handle.id, None)
        handles.clear()


class TracerHooks:
    def __init__(self, torch: Any, tracer: Tracer) -> None:
        self.torch = torch
        self.tracer = tracer
        self.hooks = GlobalHooks(torch)
        self.loader = torch.utils.data.dataloader._BaseDataLoaderIter
        self.plain_backward = torch.autograd.backward
        self.plain_compile = torch.compile
        self.compiling = False  # whether torch.compile has been used
        self.whole = False  # whether it was used with fullgraph=True

    def attach(self) -> None:
        backward, following, compile = self.wrapped_backward(), self.wrapped_next(), self.wrapped_compile()
        try:
            self.module_hooks()
            self.hooks.on_steps(self.before_step, self.after_step)
        except BaseException:
            self.hooks.off()
            raise
        self.torch.autograd.backward = backward
        self.loader.__next__ = following
        self.torch.compile = compile

    def module_hooks(self) -> None:
        modules = self.hooks.modules
        options = {"always_call": True}
        if hasattr(modules, "_global_forward_hooks_with_kwargs"):  # torch 2.4 has none, and gives no keywords
            options["with_kwargs"] = True
        self.hooks.on_modules(self.enter, self.leave, **options)
        created = self.tracer.creation.registered
        self.hooks.of_modules.append(modules.register_module_parameter_registration_hook(created))

    # torch calls these four. Where Dynamo traces them, they must do nothing.
    # ruff: noqa: ARG002 - their parameters are torch's

    def enter(self, module: Any, args: Any) -> None:
        if not self.torch.compiler.is_compiling():
            self.tracer.enter(module, args)

    def leave(self, module: Any, args: Any, *rest: Any) -> None:
        """(keywords, result), or only the None of a call that raised."""
        if not self.torch.compiler.is_compiling():
            self.tracer.leave(rest[0] if len(rest) > 1 else {}, rest[-1])

    def before_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if not self.torch.compiler.is_compiling():
            self.tracer.before_step(optimizer)

    def after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if not self.torch.compiler.is_compiling():
            self.tracer.after_step(optimizer)

    # Functions

    def wrapped_backward(self) -> Any:
        plain, tracer = self.plain_backward, self.tracer

        @functools.wraps(plain)
        def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            if not tracer.backward(tensors):
                return plain(tensors, *args, **kwargs)
            try:
                return plain(tensors, *args, **kwargs)
            finally:
                tracer.local.backward = False

        return backward

    def wrapped_next(self) -> Any:
        plain, tracer = self.loader.__next__, self.tracer

        @functools.wraps(plain)
        def __next__(loader: Any) -> Any:
            tracer.local.depth += 1  # transforms are modules, too, and their calls are not the model's
            try:
                data = plain(loader)
            finally:
                tracer.local.depth -= 1
            tracer.batch(data)
            return data

        return __next__

    # Compilation

    def wrapped_compile(self) -> Any:
        plain = self.plain_compile

        @functools.wraps(plain)
        def compile(*args: Any, **kwargs: Any) -> Any:
            self.before_compile(bool(kwargs.get("fullgraph")))
            return plain(*args, **kwargs)

        return compile

    def before_compile(self, whole: bool) -> None:
        if self.tracer.dead or (self.compiling and (self.whole or not whole)):
            return
        try:
            self.for_compile(whole)
        except Exception as error:  # noqa: BLE001 - never into the user's program
            self.tracer.fail(error)

    def for_compile(self, whole: bool) -> None:
        untraced = self.torch.compiler.disable
        if not self.compiling:
            self.compiling = True
            self.hooks.off_modules()
            self.tracer.local.depth = 0
            self.torch.autograd.backward = untraced(self.torch.autograd.backward)
            self.loader.__next__ = untraced(self.loader.__next__)
            self.hooks.on_steps(untraced(self.before_step), untraced(self.after_step))
            self.watch_compiled()
        if whole and not self.whole:
            self.whole = True
            self.hooks.on_steps(self.before_step, self.after_step)

    def watch_compiled(self) -> None:
        import torch._dynamo.eval_frame

        kind: Any = torch._dynamo.eval_frame.OptimizedModule
        plain, tracer = kind.__call__, self.tracer
        compiling = self.torch.compiler.is_compiling

        @functools.wraps(plain)
        def __call__(module: Any, *args: Any, **kwargs: Any) -> Any:
            if compiling():
                return plain(module, *args, **kwargs)
            tracer.enter(module, args)
            result = None
            try:
                result = plain(module, *args, **kwargs)
            finally:
                tracer.leave(kwargs, result)
            return result

        kind.__call__ = __call__
