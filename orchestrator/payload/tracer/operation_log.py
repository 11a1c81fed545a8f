"""The second, slow pass: every operation of some optimizer steps, with digests of its inputs and outputs.

Loaded only where REPRISE_LOCALISE is set, to `STEP:COUNT`. From the moment when STEP optimizer steps (of all
optimizers of this process) are complete, for COUNT steps, a dispatch mode sees each operation below autograd
and writes one line of REPRISE_REPORT/ops-<pid>.jsonl. Two logs, compared line by line, name the operation
that took equal bytes and gave others. Like torch's own DebugMode, but its digests see the order of elements,
and it needs neither torch.distributed nor Inductor.

Lines are JSON objects:
  {"ops":1,"rank":0,"pid":23,"began":<monotonic ns>,"step":12,"count":1,"torch":"2.13.0"}
  {"s":12,"i":57,"op":"aten::mm","p":"forward","w":"layer2.0","a":"<hex of other arguments>",
   "in":[["float32[2,3]","hex16"],...],"out":[...],"r":1}       r: it draws random numbers
  {"end":true,"ops":n,"steps":n}, or {"broken":"why"}
Memory that was not written yet has no digest: it holds what was there before.
"""

# ruff: noqa: BLE001

from __future__ import annotations

import functools
import os
import threading

from .. import report_writer
from ..exit_calls import call_at_exit
from ..tensor_digest.digester import Digester, describe, to_ints
from .torch_hooks import GlobalHooks

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

FLUSH = 256  # operations between two copies of digests to the host
MAX_OPS = 200_000  # then the log ends; its last line says so
MAX_NAME = 200

_EMPTY = ("empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided")
EMPTY = {f"aten::{name}" for name in _EMPTY}
_FILLS = ("uniform_", "normal_", "bernoulli_", "random_", "exponential_", "geometric_", "log_normal_")
FILLS = {f"aten::{name}" for name in (*_FILLS, "cauchy_", "fill_", "zero_", "copy_", "_foreach_zero_")}
"""Operations that do not read the tensor that they write."""


def install(torch: Any, wanted: str) -> None:
    """Watch for the steps that are wanted. Raises ValueError for another form than `STEP:COUNT`."""
    step, _, count = wanted.partition(":")
    watcher = OperationWatcher(torch, int(step), int(count))
    watcher.attach()


class OperationWatcher:
    """Counts optimizer steps, knows where in the program an operation is, and holds the log."""

    def __init__(self, torch: Any, step: int, count: int) -> None:
        self.torch = torch
        self.first, self.last = step, step + count
        self.pid = os.getpid()
        self.thread = threading.get_ident()
        self.steps = 0
        self.mode: Any = None
        self.hooks = GlobalHooks(torch)
        self.log = OperationLog(torch, {"step": step, "count": count})
        self.stack: list[str] = []
        self.names: dict[int, str] = {}
        self.optimizer = ""
        self.by_sequence: dict[int, str] = {}
        self.sequence = getattr(torch.autograd, "_get_sequence_nr", lambda: -1)
        self.graph_task = getattr(torch._C, "_current_graph_task_id", lambda: -1)
        self.node = getattr(torch._C, "_current_autograd_node", lambda: None)

    def attach(self) -> None:
        self.hooks.on_modules(self.enter, self.leave, always_call=True)
        self.hooks.on_steps(self.before_step, self.after_step)
        self.torch.compile = self.wrapped(self.torch.compile)
        call_at_exit(self.finish)
        if self.first == 0:
            self.begin()

    def wrapped(self, plain: Any) -> Any:
        """Wrap torch.compile as the tracer does, so that both passes run the same code."""

        @functools.wraps(plain)
        def compile(*args: Any, **kwargs: Any) -> Any:
            self.hooks.off_modules()
            self.stack.clear()
            untraced = (lambda hook: hook) if kwargs.get("fullgraph") else self.torch.compiler.disable
            self.hooks.on_steps(untraced(self.before_step), untraced(self.after_step))
            return plain(*args, **kwargs)

        return compile

    def mine(self) -> bool:
        return os.getpid() == self.pid

    def begin(self) -> None:
        self.mode = make_mode(self)
        self.mode.__enter__()

    def finish(self) -> None:
        if self.mine() and not self.log.done:
            self.log.end(self.steps)

    # Where the program is

    def enter(self, module: Any, _args: Any) -> None:
        if self.torch.compiler.is_compiling():
            return
        if not self.stack:
            self.names = {id(each): name for name, each in module.named_modules()}
        kind = type(module).__name__
        self.stack.append(self.names.get(id(module)) or kind)

    def leave(self, _module: Any, _args: Any, _result: Any) -> None:
        if self.stack and not self.torch.compiler.is_compiling():
            self.stack.pop()

    def before_step(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        if not self.torch.compiler.is_compiling():  # Dynamo would follow us in here
            self.optimizer = type(optimizer).__name__

    def after_step(self, _optimizer: Any, _args: Any, _kwargs: Any) -> None:
        if self.torch.compiler.is_compiling():
            return
        self.optimizer = ""
        if not self.mine() or threading.get_ident() != self.thread:
            return
        self.steps += 1
        self.log.number = 0
        try:
            if self.mode is None and self.first <= self.steps < self.last:
                self.begin()
            elif self.mode is not None and self.steps >= self.last:
                self.mode.__exit__(None, None, None)
                self.finish()
                self.last = -1
        except Exception as error:
            self.log.fail(error)

    def place(self) -> tuple[str, str]:
        """Phase and place. What runs in a backward pass belongs to the module of its forward operation."""
        if self.graph_task() != -1:
            node: Any = self.node()
            number = node._sequence_nr() if hasattr(node, "_sequence_nr") else -1
            return "backward", self.by_sequence.get(number, "") or (node.name() if node is not None else "")
        if self.optimizer:
            return "optimizer", self.optimizer
        if not self.stack:
            return "", ""
        self.by_sequence[self.sequence() - 1] = self.stack[
            -1
        ]  # autograd has made the operation's node by now
        return "forward", self.stack[-1]


def make_mode(watcher: OperationWatcher) -> Any:
    """The class is made here, because torch is not imported at this module's import."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Mode(TorchDispatchMode):  # type: ignore[misc, no-untyped-call, unused-ignore]
        supports_higher_order_operators = True

        @classmethod
        def ignore_compile_internals(cls) -> bool:
            return True  # without it torch.compile would fall back to eager, and give other bits

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            names = {each.__name__ for each in types}
            if "DTensor" in names:
                return NotImplemented
            schema = getattr(func, "_schema", None)
            quiet = schema is None or "FakeTensor" in names or schema.name.startswith("profiler::")
            if quiet or watcher.log.done or not watcher.mine():
                return func(*args, **kwargs)
            call = Operation(watcher, func, args, kwargs)
            result = func(*args, **kwargs)
            call.done(result)
            return result

    mode: Any = Mode
    return mode()


class Operation:
    """One operation. Its inputs are digested before it, since it may write to them. Never raises."""

    def __init__(self, watcher: OperationWatcher, func: Any, args: Any, kwargs: Any) -> None:
        self.watcher, self.func, self.log = watcher, func, watcher.log
        try:
            self.before(args, kwargs)
        except Exception as error:
            self.log.fail(error)

    def before(self, args: Any, kwargs: Any) -> None:
        torch, schema = self.log.torch, self.func._schema
        self.name = schema.name
        self.written: list[Any] = []
        self.read: list[Any] = []
        plain: list[str] = []
        given = [*zip(schema.arguments, args)]  # noqa: B905 - Python 3.9
        given += [(each, kwargs[each.name]) for each in schema.arguments if each.name in kwargs]
        for position, (argument, value) in enumerate(given):
            alias = argument.alias_info
            writes = alias is not None and alias.is_write
            overwrites = getattr(argument, "is_out", False) or (
                writes and position == 0 and self.name in FILLS
            )
            for leaf in leaves(value):
                if not isinstance(leaf, torch.Tensor):
                    plain.append(repr(leaf) if isinstance(leaf, SCALARS) else str(leaf)[:100])
                    continue
                if writes:
                    self.written.append(leaf)
                if not overwrites:
                    self.read.append(leaf)
        self.others = plain
        self.phase, self.where = self.watcher.place()
        self.inputs = self.log.digested(self.read)

    def done(self, result: Any) -> None:
        if self.log.done:
            return
        try:
            self.after(result)
        except Exception as error:
            self.log.fail(error)

    def after(self, result: Any) -> None:
        log, torch = self.log, self.log.torch
        outputs = [leaf for leaf in leaves(result) if isinstance(leaf, torch.Tensor)]
        others = [leaf for leaf in leaves(result) if not isinstance(leaf, torch.Tensor)]
        self.others += [f"-> {leaf!r}" for leaf in others if isinstance(leaf, SCALARS)]
        held = {storage(tensor) for tensor in self.read}
        for tensor in self.written:
            log.garbage.discard(storage(tensor))
        for tensor in outputs:
            if self.name in EMPTY:
                log.garbage.add(storage(tensor))
            elif storage(tensor) not in held:
                log.garbage.discard(storage(tensor))
        results = outputs + [tensor for tensor in self.written if not any(tensor is one for one in outputs)]
        tag = getattr(torch.Tag, "nondeterministic_seeded", None)
        log.add(self, self.watcher.steps, log.digested(results), tag in self.func.tags)


SCALARS = (str, bool, int, float, complex, type(None))


def storage(tensor: Any) -> int:
    try:
        return int(tensor.untyped_storage().data_ptr())
    except Exception:  # a tensor without a storage does not count as unwritten memory
        return -1


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from leaves(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from leaves(each)
    else:
        yield value


class OperationLog:
    """ops-<pid>.jsonl, opened when FLUSH operations wait; until then their digests stay on the device."""

    def __init__(self, torch: Any, header: dict[str, object]) -> None:
        self.torch = torch
        self.header = header
        self.digester = Digester(torch)
        self.garbage: set[int] = set()  # storages that were not written to yet
        self.waiting: list[tuple[dict[str, object], list[Any], list[Any]]] = []
        self.number = 0  # of the next operation, in its step
        self.total = 0
        self.done = False
        self.stream: Any = None

    def digested(self, tensors: list[Any]) -> list[Any]:
        """[description, digest or None] of each tensor."""
        known = [None if storage(tensor) in self.garbage else tensor for tensor in tensors]
        return [[described(t), d] for t, d in zip(tensors, self.digester.digest(known))]  # noqa: B905

    def add(self, call: Operation, step: int, outputs: list[Any], seeded: bool) -> None:
        from hashlib import sha256

        line: dict[str, object] = {"s": step, "i": self.number, "op": call.name, "p": call.phase}
        line["w"] = call.where[-MAX_NAME:]
        line["a"] = sha256("\0".join(call.others).encode("utf-8", "replace")).hexdigest()[:16]
        if seeded:
            line["r"] = 1
        self.number += 1
        self.total += 1
        self.waiting.append((line, call.inputs, outputs))
        if len(self.waiting) >= FLUSH:
            self.flush()
        if self.total >= MAX_OPS:
            self.close({"broken": f"more than {MAX_OPS} operations"})

    def flush(self) -> None:
        waiting, self.waiting = self.waiting, []
        numbers = iter(to_ints([pair[1] for _, ins, outs in waiting for pair in (*ins, *outs)]))
        for line, ins, outs in waiting:
            for key, pairs in (("in", ins), ("out", outs)):
                line[key] = [[text, hexed(next(numbers))] for text, _ in pairs]
            self.write(line)
        if self.stream is not None:
            self.stream.flush()

    def write(self, line: dict[str, object]) -> None:
        if self.stream is None:
            import time

            pid, rank = os.getpid(), os.environ.get("RANK", "0")
            path = f"{report_writer.FOLDER}/ops-{pid}.jsonl"
            self.stream = open(path, "x", encoding="ascii")  # noqa: PTH123, SIM115
            head: dict[str, object] = {"ops": 1, "rank": int(rank) if rank.isdigit() else 0, "pid": pid}
            head |= {"began": time.monotonic_ns(), "torch": str(self.torch.__version__)}
            self.stream.write(report_writer.encode({**head, **self.header}) + "\n")
        self.stream.write(report_writer.encode(line) + "\n")

    def end(self, steps: int) -> None:
        try:
            self.flush()
            if self.stream is not None:
                self.close({"end": True, "ops": self.total, "steps": steps})
        except Exception as error:
            self.fail(error)

    def close(self, line: dict[str, object]) -> None:
        self.done = True
        if "end" not in line:
            self.flush()
        self.write(line)
        self.stream.close()

    def fail(self, error: BaseException) -> None:
        if self.done:
            return
        self.done = True
        report_writer.failed("the log of operations", error)
        try:
            self.write({"broken": f"{type(error).__name__}: {error}"[:300]})
            self.stream.close()
        except OSError as second:
            report_writer.failed("the end of the log of operations", second)


def described(tensor: Any) -> str:
    try:
        return describe(tensor)
    except (RuntimeError, ValueError):  # a lazy module's parameter has no shape yet
        return "shapeless"


def hexed(number: Any) -> str:
    return "-" if number is None else f"{number:016x}"
