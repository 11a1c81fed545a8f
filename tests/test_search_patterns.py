"""What searches a text with a pattern takes time by its length: a text of somebody else's may be a megabyte.

`[a-z]+://` looks from each letter of a long word to the word's end. 100,000 letters took 17 s of CPU.
"""

from __future__ import annotations

import importlib
import inspect
import multiprocessing
import pkgutil
import re
import signal
from collections.abc import Iterator

import pytest

import orchestrator

LENGTH = (
    60_000  # characters: 6 s and more for a pattern whose time grows with the square, some 10 ms for others
)
SECONDS = 2  # of CPU for one search; then the kernel ends the process
PIECES = (
    "x",
    "é",
    "1",
    " ",
    "\n",
    "-",
    "_",
    "a.",
    "a/",
    "a:",
    "a,",
    "a-",
    "a=",
    "<",
    "[",
    "(",
    '"',
    "'",
    "://a:",
)
PIECES += ("token=", "password", "Basic ", "\x1b[", "\x1b]", "\r", "* ")
SEARCHES = r"\b{}\.(?:search|sub|subn|finditer|findall|split)\("
fork = multiprocessing.get_context("fork")


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Those of modules that look for a place in a text, with their names."""
    for found in pkgutil.walk_packages(orchestrator.__path__, "orchestrator."):
        if found.name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(found.name)
            text = inspect.getsource(module)
        except (ImportError, OSError):  # for a payload's interpreter alone, or an empty file
            continue
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern) and re.search(SEARCHES.format(name), text):
                yield f"{found.name}.{name}", value


def search_all() -> None:
    """In a process of its own: some modules do at once what a payload or a script does."""
    chosen = list(patterns())
    assert len(chosen) > 30
    for name, pattern in chosen:
        for piece in PIECES:
            print(f"{name} in {piece!r}", flush=True)  # the last is the one that takes too long
            text = (piece * LENGTH)[:LENGTH]
            plain = text.encode() if isinstance(pattern.pattern, bytes) else text
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            for _ in pattern.finditer(plain):  # type: ignore[arg-type]
                pass


@pytest.mark.slow
def test_no_search_takes_the_square_of_a_texts_length(capfd: pytest.CaptureFixture[str]) -> None:
    child = fork.Process(target=search_all)
    child.start()
    child.join()
    assert child.exitcode == 0, capfd.readouterr().out.splitlines()[-1:]
