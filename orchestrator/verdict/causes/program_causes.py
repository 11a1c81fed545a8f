"""Differences of two programs as causes: seed, inputs, threads, flags, parameters, code, packages."""

from __future__ import annotations

from typing import Any

from orchestrator.message_wording import listed
from orchestrator.record.run_record import RunRecord
from orchestrator.structural_difference import unequal_names
from orchestrator.verdict.causes.readback_flags import reported
from orchestrator.verdict.verdict_model import Cause, CauseKind, Phase

# Which kind of change explains the first difference best, by its phase.
_FITS = {
    Phase.INIT: (CauseKind.SEED, CauseKind.PROGRAM),
    Phase.RNG: (CauseKind.SEED, CauseKind.PROGRAM),
    Phase.BATCH: (CauseKind.INPUT, CauseKind.SEED, CauseKind.PROGRAM),
}
_USUALLY = (CauseKind.PROGRAM, CauseKind.SEED, CauseKind.INPUT)


def program_causes(original: RunRecord, rerun: RunRecord, phase: Phase | None) -> list[Cause]:
    """Empty where both ran the same program; else the likeliest first."""
    order = (*_FITS.get(phase, ()), *_USUALLY) if phase else _USUALLY
    found = list(_changes(original, rerun))
    return sorted(found, key=lambda cause: order.index(cause.kind) if cause.kind in order else len(order))


def _changes(original: RunRecord, rerun: RunRecord) -> list[Cause]:
    a, b = original.program, rerun.program
    others = _fields("determinism", *(one.determinism.model_dump(mode="json") for one in (a, b)))
    threads = {name: others.pop(name) for name in ("determinism.threads",) if name in others}
    changes: list[tuple[CauseKind, str, dict[str, str]]] = [
        (CauseKind.SEED, "another seed", {"seed": f"{a.seed} vs {b.seed}"} if a.seed != b.seed else {}),
        (CauseKind.PROGRAM, "other parameters", _fields("params", a.params, b.params)),
        (CauseKind.PROGRAM, "another environment", _fields("env", a.env, b.env)),
        (CauseKind.INPUT, "other input data", _fields("inputs", _short(a.inputs), _short(b.inputs))),
        (CauseKind.THREADS, "another number of threads asked for", threads),
        (CauseKind.FLAGS, "other determinism asked for", others),
    ]
    if reported(original) and reported(rerun):
        code = _fields("source", _short(original.source), _short(rerun.source))
        changes.append((CauseKind.PROGRAM, "other code", code))
        packages = _fields("packages", original.packages, rerun.packages)
        changes.append((CauseKind.PROGRAM, "other packages", packages))
    found = [_cause(kind, noun, fields) for kind, noun, fields in changes if fields]
    rest = _rest(original, rerun)  # the command is filled from seed and parameters, and differs with them
    if rest and (not found or "command" not in rest or len(rest) > 1):
        found.append(_cause(CauseKind.PROGRAM, "another program", rest))
    if not found and _image(original) != _image(rerun):
        fields = {
            name: f"{x} vs {y}" for name, x, y in zip(_IMAGE, _image(original), _image(rerun), strict=True)
        }
        found.append(_cause(CauseKind.PROGRAM, "another image", fields))
    return found


_IMAGE = ("image", "config", "base")


def _image(run: RunRecord) -> tuple[str, str, str]:
    return run.image.short, run.config_digest.short, run.base.digest.short


def _rest(original: RunRecord, rerun: RunRecord) -> dict[str, str]:
    known = {"seed", "inputs", "determinism", "params", "env"}
    left, right = (run.program.model_dump(mode="json", exclude=known) for run in (original, rerun))
    return {name: f"{_word(left[name])} vs {_word(right[name])}" for name in unequal_names(left, right)}


def _fields(prefix: str, a: dict[str, Any], b: dict[str, Any]) -> dict[str, str]:
    return {
        f"{prefix}.{name}": f"{_word(a.get(name))} vs {_word(b.get(name))}" for name in unequal_names(a, b)
    }


def _short(digests: dict[str, Any]) -> dict[str, str]:
    return {name: str(digest).removeprefix("sha256:") for name, digest in digests.items()}


def _word(value: Any) -> str:
    text = "absent" if value is None else " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text[:12] if len(text) == 64 else text[:60]


def _cause(kind: CauseKind, noun: str, fields: dict[str, str]) -> Cause:
    named = listed([f"{name} {value}" for name, value in fields.items()])
    return Cause(
        kind=kind,
        text=f"{noun} ({named}), so other results are expected",
        fields=dict(list(fields.items())[:20]),
    )
