"""Post-import hooks: the import system must not notice them."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest

from orchestrator.payload.post_import import PostImport

NAME = "reprise_test_subject"


@pytest.fixture
def subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package on sys.path that is not imported yet."""
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "__init__.py").write_text("value = 1\n")
    (folder / "data.txt").write_text("text")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    sys.modules.pop(NAME, None)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    def install(*names: str) -> list[Any]:
        seen: list[Any] = []
        monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
        PostImport(dict.fromkeys(names, seen.append)).install()
        return seen

    return install


def test_runs_once_the_module_has_executed(subject: Path, hook: Callable[..., list[Any]]) -> None:
    seen = hook(NAME)
    module = importlib.import_module(NAME)
    assert seen == [module]
    assert seen[0].value == 1


def test_loader_and_spec_stay_what_they_were(subject: Path, hook: Callable[..., list[Any]]) -> None:
    hook(NAME)
    module = importlib.import_module(NAME)
    assert type(module.__loader__) is SourceFileLoader
    assert module.__spec__.loader is module.__loader__
    assert "exec_module" not in vars(module.__loader__)
    assert pkgutil.get_data(NAME, "data.txt") == b"text"


def test_looking_for_a_module_triggers_nothing(subject: Path, hook: Callable[..., list[Any]]) -> None:
    seen = hook(NAME)
    assert importlib.util.find_spec(NAME) is not None
    assert importlib.util.find_spec("reprise_no_such_module") is None
    assert seen == []


def test_a_module_that_is_there_gets_its_action_at_once(
    subject: Path, hook: Callable[..., list[Any]]
) -> None:
    module = importlib.import_module(NAME)
    assert hook(NAME) == [module]


def test_reload_runs_it_again(subject: Path, hook: Callable[..., list[Any]]) -> None:
    seen = hook(NAME)
    module = importlib.import_module(NAME)
    importlib.reload(module)
    assert seen == [module, module]


def test_a_failed_import_fails_as_before_and_a_second_one_works(
    subject: Path, hook: Callable[..., list[Any]]
) -> None:
    seen = hook(NAME)
    (subject / "__init__.py").write_text("raise OSError('not yet')\n")
    with pytest.raises(OSError, match="not yet"):
        importlib.import_module(NAME)
    assert seen == []
    (subject / "__init__.py").write_text("value = 22222\n")
    importlib.invalidate_caches()
    assert importlib.import_module(NAME).value == 22222
    assert len(seen) == 1


def test_imported_from_a_thread_while_another_waits(subject: Path, hook: Callable[..., list[Any]]) -> None:
    seen = hook(NAME)
    (subject / "__init__.py").write_text("import time\ntime.sleep(0.05)\nvalue = 1\n")
    threads = [threading.Thread(target=importlib.import_module, args=(NAME,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 1


def test_a_lazy_loader_runs_it_when_the_module_is_first_used(
    subject: Path, hook: Callable[..., list[Any]]
) -> None:
    seen = hook(NAME)
    spec = importlib.util.find_spec(NAME)
    assert spec is not None and spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    assert seen == []
    assert module.value == 1
    assert len(seen) == 1


def test_finders_that_are_put_before_it_still_work(subject: Path, hook: Callable[..., list[Any]]) -> None:
    """As wrapt's finder: it asks the whole meta path again from within its own answer."""
    seen = hook(NAME)

    class Again:
        busy = False

        def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
            if name != NAME or self.busy:
                return None
            self.busy = True
            try:
                return importlib.util.find_spec(name)
            finally:
                self.busy = False

    sys.meta_path.insert(0, Again())  # type: ignore[arg-type]
    assert importlib.import_module(NAME).value == 1
    assert len(seen) == 1
