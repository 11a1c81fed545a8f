"""Finds tensors and names them. Nothing here changes an object, or keeps it alive.

Objects of the user are never asked by `isinstance`, `hasattr` or their own methods: proxies answer those,
and some of them with side effects. Types and `__dict__` are read instead.
"""

from __future__ import annotations

import weakref

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

WRAPPERS = {"DistributedDataParallel": "module", "DataParallel": "module", "OptimizedModule": "_orig_mod"}
"""Wrappers by class, with the attribute that holds the user's module: it is not part of a name."""

MAX_DEPTH = 8  # of lists and dicts within each other, in batches and outputs
MAX_NESTED = 100  # modules within modules
MAX_TENSORS = 64  # of one batch or output
MAX_SCANS = 10  # of all objects for modules; each takes 0.2 s with torch and torch._dynamo loaded
MAX_BIRTHS = 100_000  # modules whose order of creation is remembered


def unwrapped(module: Any) -> Any:
    """The user's module within DDP and torch.compile."""
    for _ in range(MAX_DEPTH):
        inner = children(module).get(WRAPPERS.get(type(module).__name__, ""))
        if inner is None:
            break
        module = inner
    return module


def children(module: Any) -> dict[str, Any]:
    found = vars(module).get("_modules")
    return found if isinstance(found, dict) else {}


def own(module: Any, kind: str) -> dict[str, Any]:
    """`_parameters` or `_buffers` of one module; empty for a ScriptModule, which keeps them elsewhere."""
    found = vars(module).get(kind)
    return found if isinstance(found, dict) else {}


def plain(name: str) -> str:
    """A parameter's name as the user knows it, without what DDP and torch.compile put before it."""
    for prefix in ("module.", "_orig_mod.", "module."):
        name = name[len(prefix) :] if name.startswith(prefix) else name
    return name


class Owner:
    """Where a parameter or buffer is. It keeps one reference: a weak one to its module.

    A weak reference to a tensor would make `torch.utils.swap_tensors` refuse it.
    """

    __slots__ = ("key", "kind", "module", "name", "root", "traced")

    def __init__(self, module: Any, kind: str, key: str, name: str, root: Any) -> None:
        self.module = module
        self.kind = kind
        self.key = key
        self.name = name
        self.root = root
        self.traced = False  # in an "init" event already

    def tensor(self) -> Any:
        module = self.module()
        return None if module is None else own(module, self.kind).get(self.key)


class CreationOrder:
    """The order in which modules got their first parameter. Copies and unpickled modules are not in it."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[Any, int]] = {}  # by id; valid only while the reference is to it

    def registered(self, module: Any, _name: str, _parameter: Any) -> None:
        """Called by torch's global hook on the registration of parameters."""
        found = self.known.get(id(module))
        if (found is None or found[0]() is not module) and len(self.known) < MAX_BIRTHS:
            self.known[id(module)] = (weakref.ref(module), len(self.known))

    def first(self, module: Any, depth: int = 0) -> int:
        """The place in this order of a module, or of the first module within it."""
        found = self.known.get(id(module))
        number = found[1] if found is not None and found[0]() is module else MAX_BIRTHS
        within = children(module).values() if depth < MAX_NESTED else ()
        return min([number, *(self.first(child, depth + 1) for child in within if child is not None)])


class ParameterNames:
    """Names of the parameters and buffers of all live modules, found by a scan of all objects."""

    def __init__(self, torch: Any, creation: CreationOrder) -> None:
        self.base = torch.nn.Module
        self.creation = creation
        self.places: dict[tuple[int, str, str], Owner] = {}  # by id of the module, kind, key
        self.tensors: dict[int, Owner] = {}  # by id of the tensor; valid only while the id is that tensor's
        self.scans = 0

    def owner(self, tensor: Any) -> Owner | None:
        found = self.tensors.get(id(tensor))
        return found if found is not None and found.tensor() is tensor else None

    def scan(self) -> None:
        """Look for new modules, at most MAX_SCANS times."""
        if self.scans >= MAX_SCANS:
            return
        self.scans += 1
        roots = self._roots()
        for name, root in roots:
            self._learn(root, name + "." if len(roots) > 1 else "")

    def all(self) -> list[tuple[str, Any, Owner]]:
        """(name, tensor, owner) of all known live tensors, sorted by name."""
        found = [(owner.name, owner.tensor(), owner) for owner in self.places.values()]
        return sorted((item for item in found if item[1] is not None), key=lambda item: item[0])

    def buffers(self, roots: set[int]) -> list[Owner]:
        """The owners within the root modules of these ids, sorted by name."""
        found = [
            owner
            for owner in self.places.values()
            if owner.kind == "_buffers" and owner.tensor() is not None and id(owner.root()) in roots
        ]
        return sorted(found, key=lambda owner: owner.name)

    def _learn(self, root: Any, prefix: str) -> None:
        top = weakref.ref(root)
        seen: set[int] = set()

        def walk(module: Any, path: str) -> None:
            if id(module) in seen:
                return
            seen.add(id(module))
            for kind in ("_parameters", "_buffers"):
                for key, tensor in own(module, kind).items():
                    place = (id(module), kind, key)
                    known = self.places.get(place)
                    if known is not None and known.module() is module:
                        self.tensors[id(tensor)] = known
                    elif tensor is not None and self.owner(tensor) is None:
                        owner = Owner(weakref.ref(module), kind, key, path + key, top)
                        self.tensors[id(tensor)] = self.places[place] = owner
            transparent = WRAPPERS.get(type(module).__name__)
            for key, child in children(module).items():
                if child is not None:
                    walk(child, path if key == transparent else f"{path}{key}.")

        walk(root, prefix)

    def _roots(self) -> list[tuple[str, Any]]:
        """(name, module) of the modules that are in no other module and hold a tensor somewhere.

        Named by class; several of a class are numbered in the order of their creation. Modules whose order
        is not known come last, in the order of Python's collector: by age mostly, never by address.
        """
        found = list(self._modules())
        nested = {id(child) for module in found for child in children(module).values()}
        roots = [module for module in found if id(module) not in nested and holds(module)]
        roots.sort(key=self.creation.first)
        count: dict[str, int] = {}
        named = []
        for module in roots:
            name = type(unwrapped(module)).__name__
            count[name] = count.get(name, 0) + 1
            named.append((name if count[name] == 1 else f"{name}#{count[name]}", module))
        return named

    def _modules(self) -> Iterator[Any]:
        """Collect garbage first: when Python last did it depends on more than the program."""
        import gc

        gc.collect()
        is_module: dict[type, bool] = {}
        for thing in gc.get_objects():
            kind = type(thing)
            answer = is_module.get(kind)
            if answer is None:
                answer = is_module[kind] = issubclass(kind, self.base)
            if answer:
                yield thing


def holds(module: Any, depth: int = 0) -> bool:
    """Whether it or a module within it has a parameter or a buffer."""
    if any(value is not None for kind in ("_parameters", "_buffers") for value in own(module, kind).values()):
        return True
    return depth < MAX_NESTED and any(
        child is not None and holds(child, depth + 1) for child in children(module).values()
    )


def tensors(torch: Any, value: Any) -> list[tuple[str, Any]]:
    """(path, tensor) of the tensors in a batch or an output: lists, tuples, dicts, dataclasses."""
    found: list[tuple[str, Any]] = []
    _walk(torch.Tensor, value, "", 0, found)
    return found


def _walk(tensor: type, value: Any, path: str, depth: int, found: list[tuple[str, Any]]) -> None:
    if len(found) >= MAX_TENSORS or depth > MAX_DEPTH:
        return
    kind = type(value)
    if issubclass(kind, tensor):
        found.append((path, value))
        return
    for key, item in _items(kind, value):
        if item is not None and type(item) not in (int, float, str, bool):
            word = str(key) if type(key) in (str, int) else type(key).__name__
            _walk(tensor, item, f"{path}.{word}" if path else word, depth + 1, found)


def _items(kind: type, value: Any) -> Any:
    """The items of a container, without calling its own methods."""
    if issubclass(kind, dict):
        return dict.items(value)
    if issubclass(kind, (list, tuple)):
        each = list.__iter__(value) if issubclass(kind, list) else tuple.__iter__(value)
        # Only the first few: a list of a million numbers is not a batch of tensors.
        return zip(range(4 * MAX_TENSORS), each)  # noqa: B905 - the shorter one ends it
    if any("__dataclass_fields__" in vars(base) or base.__name__ == "UserDict" for base in kind.__mro__):
        return getattr(value, "__dict__", {}).items()
    return ()
