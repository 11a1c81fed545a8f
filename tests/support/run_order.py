"""Which tests share a process, and which begin first, where pytest runs in several processes (`-n 3`).

- What takes long begins first, so that no process works alone at the end: tests with an engine or a server,
  then the others. Of each, files before single tests, and long files before short ones.
- A file's tests share a process, so that what its fixtures make is made once. Tests in tests/integration and
  tests/engines take seconds each: there a file without a fixture of its own scope is dealt out test by test,
  and the tests of a browser share one.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

_TESTS = Path(__file__).resolve().parents[1]
_LONG = ("tests/integration/", "tests/engines/")
_HEAVY = ("engine", "server", "slow", "torch")
_BROWSER = "from support.browser import"  # a Chromium of 0.5 GB, and the site that it visits
_SHARES = re.compile(r"""^@pytest\.fixture\(.*scope=["'](module|package)["']""", re.MULTILINE)


@functools.cache
def _share_of_file(file: str) -> str | None:
    """What all tests of a file, named from the checkout, belong to; None where each is for itself."""
    if not file.startswith(_LONG):
        return file
    text = (_TESTS.parent / file).read_text()
    if _BROWSER in text:
        return _BROWSER
    return file if _SHARES.search(text) else None


def share_of(nodeid: str) -> str:
    """What is given to one process in one piece: a file, a test, or all that ask for a browser."""
    return _share_of_file(nodeid.partition("::")[0]) or nodeid


def in_turn(tests: Mapping[str, bool]) -> list[str]:
    """The tests' ids in the order of their beginning, from whether each needs an engine, a server or long."""
    sizes = Counter(map(share_of, tests))
    heavy = {share_of(test) for test, is_heavy in tests.items() if is_heavy}

    def turn(test: str) -> tuple[bool, bool, int, str]:
        share = share_of(test)
        return not test.startswith(_LONG), share not in heavy, -sizes[share], share

    return sorted(tests, key=turn)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    heavy = {item.nodeid: any(map(item.get_closest_marker, _HEAVY)) for item in items}
    turns = {test: number for number, test in enumerate(in_turn(heavy))}
    items.sort(key=lambda item: turns[item.nodeid])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    from xdist.scheduler import LoadScopeScheduling

    class InTurn(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return share_of(nodeid)

    config.option.loadscopereorder = False  # they come in their turn
    return InTurn(config, log)
