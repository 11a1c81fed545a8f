"""Makes the events of one process, and the tables of their tensors, from what the tracer sees.

An event belongs to the step `s` in which it happened: the number of optimizer steps (of all optimizers of
this process) that were complete when that step began. So the gradients before a step and the parameters
after it have the same `s`. Of each step, and of each backward pass, the first CALLS calls of outermost
modules and the first CALLS batches are recorded: a loop over single time steps must not cost too much.
"""

from __future__ import annotations

import os
import time
import weakref

from ..report_writer import encode
from ..tensor_digest.digester import Digester, describe, to_ints, undisturbed
from .parameter_names import CreationOrder, ParameterNames, plain, tensors, unwrapped
from .process_state import generators, rank
from .tensor_parts import parts, together
from .trace_writer import TraceWriter

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

FLUSH = 50  # steps between two copies to the host
SECONDS = 1.0  # after so long the lines of fewer steps are written: others read the file while it grows
CALLS = 16  # calls of outermost modules seen in a step


def fetch(digests: list[Any]) -> list[int]:
    return [number for number in to_ints(digests) if number is not None]


class SeenOptimizer:
    """One optimizer: its number, and the tables of its tensors at the last step."""

    __slots__ = ("buffers", "grads", "index", "params", "signature")

    def __init__(self, index: int) -> None:
        self.index = index
        self.signature: Any = None
        self.grads = 0
        self.params = 0
        self.buffers: list[Any] = []


class ProcessTrace:
    """The trace of one process since it began to train. Its methods may raise what torch raises."""

    def __init__(
        self,
        torch: Any,
        creation: CreationOrder,
        everything: bool,
        every: int,
        beside: Callable[[], None],
    ) -> None:
        self.beside = beside
        self.torch = torch
        self.everything = everything
        self.every = every
        self.digester = Digester(torch)
        self.writer = TraceWriter(fetch, self.header)
        self.names = ParameterNames(torch, creation)
        self.tables: dict[str, int] = {}
        self.optimizers: dict[
            int, tuple[Any, SeenOptimizer]
        ] = {}  # by id; valid only while the reference is to it
        self.count = 0  # of optimizers
        self.steps = 0
        self.flushed = 0  # steps
        self.written = time.monotonic()  # the last copy, or the begin
        self.stream: Any = None  # of the GPU, at the last step: whose digests are pending
        self.drawn = -1  # the step whose generators are recorded
        self.calls = 0
        self.batches = 0
        self.initialised = False

    def header(self) -> dict[str, object]:
        number, world = rank()
        return {
            "trace": 1,
            "rank": number,
            "world": world,
            "pid": os.getpid(),
            "began": time.monotonic_ns(),
            "every": self.every,
            "tensors": "all" if self.everything else "params",
            "torch": str(self.torch.__version__),
        }

    def wanted(self) -> bool:
        return self.steps % self.every == 0 and self.writer.wanted(self.steps)

    def called(self, module: Any, args: tuple[Any, ...]) -> str:
        """The name for the module's output in the trace; empty where the output is not recorded."""
        self.initial()
        if not self.everything:
            return ""
        self.random()
        self.calls += 1
        if self.calls > CALLS or not self.wanted():
            return ""
        name = type(unwrapped(module)).__name__
        self.given(name, args)
        return name

    def given(self, name: str, arguments: Any) -> None:
        """Record the inputs of a module that no module computed: data."""
        parameter = self.torch.nn.Parameter
        found = tensors(self.torch, arguments)
        found = [item for item in found if item[1].grad_fn is None and type(item[1]) is not parameter]
        if found:
            self.values("batch", name, found)

    def returned(self, name: str, kwargs: dict[str, Any], result: Any) -> None:
        self.given(name, kwargs)
        found = tensors(self.torch, result)
        if found:
            self.values("forward", name, found)

    def loaded(self, data: Any) -> None:
        self.batches += 1
        found = tensors(self.torch, data) if self.batches <= CALLS and self.wanted() else []
        if found:
            self.values("batch", "loader", found)

    def lost(self, roots: Any) -> None:
        self.writer.begin()
        self.initial()
        self.calls = self.batches = 0
        if not self.writer.wanted(self.steps):
            return
        found = tensors(self.torch, list(roots) if isinstance(roots, (list, tuple)) else roots)
        digests = self.digest([tensor for _, tensor in found])
        names = [(path, self.described(tensor)) for path, tensor in found]
        head = f'{{"e":"loss","s":{self.steps}'
        self.writer.event(head, names, digests, [self.number(tensor) for _, tensor in found])

    def number(self, tensor: Any) -> Any:
        """The value of a tensor of one real element; as the bits of a float64 where reading it would wait."""
        if tensor.numel() != 1 or tensor.is_complex() or type(tensor) is not self.torch.Tensor:
            return None
        with undisturbed(self.torch):
            if tensor.device.type == "cpu":
                return float(tensor.detach().item())
            return tensor.detach().reshape(()).to(self.torch.float64).view(self.torch.int64)

    def values(self, kind: str, name: str, found: Sequence[tuple[str, Any]]) -> None:
        digests = self.digest([tensor for _, tensor in found])
        names = [(path, self.described(tensor)) for path, tensor in found]
        self.writer.event(f'{{"e":"{kind}","s":{self.steps},"n":{encode(name)}', names, digests)

    def random(self) -> None:
        if self.drawn == self.steps or not self.wanted():
            return
        self.drawn = self.steps
        states = generators(self.torch)
        names, digests = [(name, "") for name, _ in states], [digest for _, digest in states]
        self.writer.event(f'{{"e":"rng","s":{self.steps}', names, digests)

    def initial(self) -> None:
        """Record the weights before the first step, once: all that root modules hold."""
        if self.initialised:
            return
        self.initialised = True
        self.names.scan()
        found = self.names.all()
        for _, _, owner in found:
            owner.traced = True
        if found:
            self.init_event([(name, tensor) for name, tensor, _ in found], "model")

    def init_event(self, found: Sequence[tuple[str, Any]], of: str) -> None:
        number = self.table(of, [(name, self.described(tensor)) for name, tensor in found])
        self.digests("init", "", number, [tensor for _, tensor in found])

    def digests(self, kind: str, more: str, table: int, found: list[Any]) -> None:
        digests = self.digest(found)
        self.writer.event(f'{{"e":"{kind}","s":{self.steps}{more},"t":{table}', None, digests)

    def digest(self, found: Sequence[Any]) -> list[Any]:
        """A digest or None for each tensor."""
        each = [parts(self.torch, tensor) for tensor in found]
        digests = iter(self.digester.digest([part for one in each for part in one]))
        return [together(self.torch, [next(digests) for _ in one]) for one in each]

    def described(self, tensor: Any) -> str:
        if tensor is None:
            return "none"
        if self.torch.nn.parameter.is_lazy(tensor):
            return "uninitialized"
        if tensor.is_nested:  # it has no shape to read
            return "nested[]"
        return f"meta {describe(tensor)}" if tensor.device.type == "meta" else describe(tensor)

    def table(self, of: str, rows: Sequence[tuple[str, str]]) -> int:
        """The number of a table of named tensors. A new table is written before its first use."""
        key = encode([of, rows])
        number = self.tables.get(key)
        if number is None:
            number = self.tables[key] = len(self.tables)
            self.writer.table({"table": number, "of": of, "tensors": rows})
        return number

    # Steps

    def about_to_step(self, optimizer: Any) -> None:
        self.writer.begin()
        self.initial()
        seen = self.seen(optimizer)
        params = [param for group in optimizer.param_groups for param in group["params"]]
        self.refresh(seen, optimizer, params)
        if self.everything and self.wanted():
            self.digests("grads", f',"o":{seen.index}', seen.grads, [param.grad for param in params])

    def stepped(self, optimizer: Any) -> None:
        seen = self.seen(optimizer)
        params = [param for group in optimizer.param_groups for param in group["params"]]
        self.refresh(seen, optimizer, params)
        if self.wanted():
            buffers = [owner.tensor() for owner in seen.buffers]
            self.digests("params", f',"o":{seen.index}', seen.params, params + buffers)
        self.steps += 1
        self.calls = self.batches = 0
        self.stream = self.current_stream()
        if self.due():
            self.beside()
            self.flush()
        elif self.steps - self.flushed >= FLUSH or self.writer.full():
            self.flush()

    def due(self) -> bool:
        return time.monotonic() - self.written >= SECONDS

    def flush(self) -> None:
        self.flushed = self.steps
        self.writer.flush()
        self.written = time.monotonic()

    def evaluated(self) -> None:
        """Write what waits while the job evaluates, which may take long and makes no events.

        Only from the stream of the last step: another one may be ahead of the digests that are pending.
        """
        if self.writer.lines and self.current_stream() == self.stream:
            self.beside()
            self.flush()

    def current_stream(self) -> Any:
        cuda = self.torch.cuda
        return cuda.current_stream() if cuda.is_initialized() else None

    def seen(self, optimizer: Any) -> SeenOptimizer:
        found = self.optimizers.get(id(optimizer))
        if found is None or found[0]() is not optimizer:
            found = self.optimizers[id(optimizer)] = (weakref.ref(optimizer), SeenOptimizer(self.count))
            self.count += 1
        return found[1]

    def refresh(self, seen: SeenOptimizer, optimizer: Any, params: list[Any]) -> None:
        """Make new tables where parameters, dtypes or shapes have changed since the last step."""
        lazy = self.torch.nn.parameter.is_lazy
        signature = [(id(param), None if lazy(param) else (param.dtype, param.shape)) for param in params]
        if signature == seen.signature:
            return
        seen.signature = signature
        if any(self.names.owner(param) is None for param in params):
            self.names.scan()
        rows = self.named(optimizer, params)
        of = type(optimizer).__name__
        fresh = []
        roots: set[int] = set()
        for (name, _), param in zip(rows, params):  # noqa: B905 - not in Python 3.9
            owner = self.names.owner(param)
            if owner is None or not owner.traced:
                fresh.append((name, param))
            if owner is not None:
                owner.traced = True
                roots.add(id(owner.root()))
        if fresh:
            self.init_event(fresh, of)
        seen.buffers = self.names.buffers(roots)
        seen.grads = self.table(of, rows)
        buffers = [(owner.name, self.described(owner.tensor())) for owner in seen.buffers]
        seen.params = self.table(of, rows + buffers)

    def named(self, optimizer: Any, params: list[Any]) -> list[tuple[str, str]]:
        """(name, description) of an optimizer's parameters, in its own order."""
        rows = []
        names: list[str] = []
        for number, group in enumerate(optimizer.param_groups):
            given = group.get("param_names") or ()
            for index, param in enumerate(group["params"]):
                owner = self.names.owner(param)
                if index < len(given):
                    names.append(plain(str(given[index])))
                else:
                    names.append(owner.name if owner is not None else f"group{number}.param{index}")
        for name, param in zip(names, params):  # noqa: B905 - not in Python 3.9
            rows.append((name, self.described(param)))
        return rows
