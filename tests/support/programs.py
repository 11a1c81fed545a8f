"""Programs: run to their end, or, if they are of this checkout and of no package, loaded as modules."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]


def ran(*words: str, code: int | None = 0, **options: Any) -> subprocess.CompletedProcess[str]:
    """A program's end and what it printed. `code`: the exit code that it must end with; None: any."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    assert code in (None, done.returncode), f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def load_program(path: Path) -> Any:
    """The module of a file, known by its name to what looks for it there, as dataclasses do."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
