"""Actions that run when a module has just been imported, without importing it ourselves."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # importing typing costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Action = Callable[[Any], None]  # takes the module, and must not raise


class PostImport:
    """A meta path finder that finds nothing itself: it asks the others, and arms what they found.

    Arming replaces `exec_module` on the one loader object of that one import, and takes the replacement
    away again before the module runs. So type and identity of loader and spec stay what they were
    (importlib.resources, pkgutil, pickling, LazyLoader), and `find_spec` alone triggers nothing.
    """

    def __init__(self, actions: dict[str, Action]) -> None:
        self.actions = actions

    def install(self) -> None:
        """Go first on the meta path, and run the actions of modules that are loaded already."""
        sys.meta_path.insert(0, self)
        for name, action in self.actions.items():
            module = sys.modules.get(name)
            if module is not None:
                action(module)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        action = self.actions.get(name)
        if action is None:
            return None
        finders = sys.meta_path
        # Those before us have been asked already.
        own = next((index for index, finder in enumerate(finders) if finder is self), -1)
        for finder in finders[own + 1 :]:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find is not None else None
            if spec is not None:
                arm(spec, action)
                return spec
        return None


def arm(spec: Any, action: Action) -> None:
    """Make `action` run after the module of `spec` has executed. A spec without a loader executes nothing."""
    loader = spec.loader
    execute = getattr(loader, "exec_module", None)
    if execute is None:
        return

    def exec_module(module: Any) -> None:
        if vars(loader).get("exec_module") is exec_module:
            del loader.exec_module
        execute(module)
        action(module)

    loader.exec_module = exec_module
