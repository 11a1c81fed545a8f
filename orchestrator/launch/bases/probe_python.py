"""Asking a base's Python what it is, in a container without network."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

import orchestrator.image.base
from orchestrator.errors import EngineError, EngineMissingError, UsageError
from orchestrator.image.image_model import PythonFacts
from orchestrator.run.engine.engine import Engine

OLDEST = (3, 9)  # what the runtime is written for
_SCRIPT = Path(orchestrator.image.base.__path__[0]) / "python_facts.py"
_NAMES = ("python", "python3")  # as PATH finds them: a virtual environment's comes before the system's


def probe_python(engine: Engine, reference: str) -> PythonFacts:
    """The facts of the first Python on the image's PATH.

    UsageError: the image has no Python, or one older than 3.9, or its packages cannot be imported.
    """
    if engine.image(reference) is None:
        raise UsageError(f"the engine has no image {reference}", f"run: docker pull {reference}")
    code, out = _run(engine, reference)
    lines = out.decode(errors="replace").strip().splitlines()
    if code != 0 or not lines:
        raise UsageError(
            f"{reference}: its Python failed while it was asked what it is (exit code {code})",
            f"try: docker run --rm --entrypoint python {reference} -c 'import torch'",
        )
    try:
        facts = PythonFacts.model_validate(json.loads(lines[-1]))
    except (ValueError, ValidationError) as error:
        raise UsageError(
            f"{reference}: its Python answered with something else: {lines[-1][:200]!r}"
        ) from error
    if tuple(int(part) for part in facts.version.split(".")[:2]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise UsageError(f"{reference} has Python {facts.version}; the oldest that works is {oldest}")
    return facts


def _run(engine: Engine, reference: str) -> tuple[int, bytes]:
    missing: EngineError | None = None
    for name in _NAMES:
        try:
            return engine.run_once(reference, [name, "-I", "-c", _SCRIPT.read_text("utf-8")])
        except EngineMissingError:
            raise
        except EngineError as error:
            if not any(words in error.message for words in ("not found", "no such file")):
                raise
            missing = error
    raise UsageError(
        f"{reference} cannot be a base: it has no Python on its PATH", "a base needs Python 3.9 or newer"
    ) from missing
