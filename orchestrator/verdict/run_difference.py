"""Lists every field in which two runs differ, in sections: what `reprise diff` shows.

Unlike a verdict it does not judge, and it takes any two runs: of other jobs, failed, or not finished.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.record.run_record import RunRecord
from orchestrator.run.attempt_model import Output, OutputStatus
from orchestrator.structural_difference import unequal_names
from orchestrator.value import Plain, Value, flat
from orchestrator.verdict.causes.readback_flags import last_flags, main_readback
from orchestrator.verdict.outputs.compare_files import fate, same_output
from orchestrator.verdict.outputs.pairing import pair_runs

Cell = Plain
INCOMPLETE = "(incomplete)"  # in place of a metric's name: what could not be read


class FieldPair(Value):
    """One field side by side; None where that run has none."""

    name: str
    a: Cell
    b: Cell
    delta: float | None = None  # b - a; metrics only


class Section(Value):
    """`differing` and `equal` entries, each sorted by name; people are shown the first and a count."""

    name: str
    differing: tuple[FieldPair, ...]
    equal: tuple[FieldPair, ...]


class Difference(Value):
    a: str  # run ids
    b: str
    sections: tuple[Section, ...]  # always all of them, in the order of `difference`; may be empty

    @property
    def differing(self) -> int:
        return sum(len(section.differing) for section in self.sections)

    def section(self, name: str) -> Section:
        return next(section for section in self.sections if section.name == name)


def inputs_apart(a: RunRecord, b: RunRecord) -> list[str]:
    """Digests of the inputs that both runs have under one name, and that differ."""
    one, other = a.program.inputs, b.program.inputs
    names = sorted(one.keys() & other.keys())
    return [digest for name in names if one[name] != other[name] for digest in (one[name], other[name])]


def difference(
    a: RunRecord, b: RunRecord, folders: Mapping[str, Mapping[str, Cell]] | None = None
) -> Difference:
    """Compare any two records.

    `folders`: the files of inputs by the folder's digest, path to SHA-256 in hex; where both are known, the
    files that differ stand beside their input.

    Sections: job, params, logged (what the script logged for its tracker), env, inputs, code (path -> sha256
    hex), git, packages, determinism (what was asked), flags (what the process that trains read back last),
    hardware (`bit_class.*`, `perf_class.*`), resources, metrics, outputs (path -> digest, or why it was
    rejected), result.
    """
    facts = facts_of(a), facts_of(b)
    for one, files in zip(facts, _input_files(a, b, folders or {}), strict=True):
        one["inputs"] = {**one["inputs"], **files}
    plain = {name: _section(name, *(one[name] for one in facts)) for name in facts[0]}
    sections = (
        *(plain[name] for name in plain if name != "result"),
        _metrics(a, b),
        _outputs(a, b),
        plain["result"],
    )
    return Difference(a=a.id, b=b.id, sections=sections)


def facts_of(run: RunRecord) -> dict[str, Mapping[str, Cell]]:
    """The sections of `difference` but metrics and outputs, which are compared in ways of their own."""
    program = run.program
    return {
        "job": _job(run),
        "params": program.params,
        "logged": {name: item.value for name, item in run.logged.items()},
        "env": program.env,
        "inputs": {name: str(digest) for name, digest in program.inputs.items()},
        "code": run.source,
        "git": _git(run),
        "packages": run.packages,
        "determinism": flat(program.determinism.model_dump(mode="json")),
        "flags": _flags(run),
        "hardware": _hardware(run),
        "resources": flat(run.resources.model_dump(mode="json")),
        "result": _result(run),
    }


def _section(name: str, a: Mapping[str, Cell], b: Mapping[str, Cell]) -> Section:
    unequal = set(unequal_names(a, b))
    entries = [FieldPair(name=key, a=a.get(key), b=b.get(key)) for key in sorted(a.keys() | b.keys())]
    return _split(name, ((entry, entry.name not in unequal) for entry in entries))


def _split(name: str, entries: Iterable[tuple[FieldPair, bool]]) -> Section:
    """`entries`: each with whether it is equal."""
    listed = list(entries)
    return Section(
        name=name,
        differing=tuple(entry for entry, equal in listed if not equal),
        equal=tuple(entry for entry, equal in listed if equal),
    )


def _input_files(
    a: RunRecord, b: RunRecord, folders: Mapping[str, Mapping[str, Cell]]
) -> tuple[dict[str, Cell], dict[str, Cell]]:
    """Of inputs that are folders and differ, the files that do: `set/a.png` -> SHA-256 in hex."""
    sides: tuple[dict[str, Cell], dict[str, Cell]] = ({}, {})
    for name in a.program.inputs.keys() & b.program.inputs.keys():
        before, after = (folders.get(run.program.inputs[name]) for run in (a, b))
        if before and after:
            for path in unequal_names(before, after):
                for side, files in zip(sides, (before, after), strict=True):
                    side.update({f"{name}/{path}": files[path]} if path in files else {})
    return sides


def _job(run: RunRecord) -> dict[str, Cell]:
    program = run.program
    return {
        "job": run.job,
        "image": run.image,
        "config": run.config_digest,
        "base": run.base.name,
        "base digest": run.base.digest,
        "command": " ".join(program.command),
        "seed": program.seed,
        "output globs": " ".join(program.outputs),
        "metrics file": program.metrics,
        "gpus": program.gpus,
        "rerun of": run.rerun_of,
    }


def _git(run: RunRecord) -> dict[str, Cell]:
    git = run.git
    if git is None:
        return {}
    return {
        "commit": git.commit,
        "branch": git.branch,
        "remote": git.remote,
        "dirty": git.dirty,
        "patch": git.patch_digest,
        "subject": git.subject,
        **{f"submodule {path}": commit for path, commit in sorted(git.submodules.items())},
    }


def _flags(run: RunRecord) -> dict[str, Cell]:
    readback = main_readback(run)
    return flat(last_flags(readback)) if readback else {}


def _hardware(run: RunRecord) -> dict[str, Cell]:
    if run.fingerprint is None:
        return {}
    return flat({"bit_class": run.fingerprint.bit_class, "perf_class": run.fingerprint.perf_class})


def _result(run: RunRecord) -> dict[str, Cell]:
    return {
        "state": run.state.value,
        "failure": run.failure.value if run.failure else None,
        "message": run.message or None,
        "exit code": run.exit_code,
        "out of memory": run.oom_killed,
        "attempt": run.attempt,
        "seconds": run.seconds,
        "box": run.box,
    }


def _metrics(a: RunRecord, b: RunRecord) -> Section:
    plain = _section("metrics", all_metrics(a), all_metrics(b))
    return plain.model_copy(update={"differing": tuple(map(_with_delta, plain.differing))})


def all_metrics(run: RunRecord) -> dict[str, Cell]:
    """The values, and a note where some could not be read."""
    return {**run.metrics, **({INCOMPLETE: run.metrics_incomplete} if run.metrics_incomplete else {})}


def _with_delta(entry: FieldPair) -> FieldPair:
    if isinstance(entry.a, int | float) and isinstance(entry.b, int | float):
        return entry.model_copy(update={"delta": entry.b - entry.a})
    return entry


def _outputs(a: RunRecord, b: RunRecord) -> Section:
    return _split(
        "outputs",
        (
            (FieldPair(name=path, a=output_cell(left), b=output_cell(right)), same_output(left, right))
            for path, left, right in pair_runs(a, b).pairs
        ),
    )


def output_cell(output: Output | None) -> Cell:
    if output is None:
        return None
    if output.status is OutputStatus.REJECTED:
        return fate(output) if output.target else f"rejected: {output.reason or 'no reason recorded'}"
    return output.digest
