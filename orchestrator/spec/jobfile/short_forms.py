"""Writes the short forms of a job file out, and checks what pydantic's messages would not say well.

Works on plain values (dict, list, scalars) before they become a JobSpec. A wrong value is reported and
removed, so that each mistake is told once.
"""

from __future__ import annotations

from typing import Any

from orchestrator.spec.jobfile.job_spec import Determinism, JobSpec, Resources, Tolerances, TracedTensors
from orchestrator.spec.jobfile.problem_collector import Collector
from orchestrator.spec.jobfile.problems import KeyPath, shorten
from orchestrator.spec.sizes import parse_size, parse_span
from orchestrator.value import Value

_ENV_REASONS = {
    "REPRISE_": "Reprise tells the job its seed and parameters by these",
    "LD_": "the linker's variables change which code runs",
    "NVIDIA_": "the container runtime reads it; say what you need under resources",
    "CUBLAS": "a determinism setting; say determinism.level",
    "OMP_": "a determinism setting; say determinism.threads",
    "MKL_": "a determinism setting; say determinism.threads and determinism.portable_cpu",
    "OPENBLAS_": "a determinism setting; say determinism.threads and determinism.portable_cpu",
    "ATEN_": "a determinism setting; say determinism.portable_cpu",
    "NCCL_": "a determinism setting; say determinism.level",
    "PYTHON": "Reprise sets the interpreter up so that every run is alike",
    # Single variables: others that begin so (TORCH_HOME, TF_CPP_MIN_LOG_LEVEL) move no bits.
    # A test holds them to SETTING_NAMES of the payload, which is not imported here.
    "CUDA_LAUNCH_BLOCKING": "it can move bits; Reprise reads it back",
    "NPY_DISABLE_CPU_FEATURES": "a determinism setting; say determinism.portable_cpu",
    "NUMEXPR_NUM_THREADS": "a determinism setting; say determinism.threads",
    "NVTE_ALLOW_NONDETERMINISTIC_ALGO": "a determinism setting; say determinism.level",
    "ONEDNN_MAX_CPU_ISA": "a determinism setting; say determinism.portable_cpu",
    "TF_DETERMINISTIC_OPS": "a determinism setting; say determinism.level",
    "TORCHINDUCTOR_DETERMINISTIC": "a determinism setting; say determinism.level",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "a determinism setting; say determinism.level",
    "TORCH_BLAS_PREFER_CUBLASLT": "it can move bits; Reprise reads it back",
    "TORCH_CUBLASLT_UNIFIED_WORKSPACE": "it can move bits; Reprise reads it back",
    "TORCH_LINALG_PREFER_CUSOLVER": "it can move bits; Reprise reads it back",
    "XLA_FLAGS": "a determinism setting; say determinism.level",
}
_CACHE = "the job's home and caches lie in /tmp and are not outputs"
# Full names. container_config.py sets these in the container, and its values win.
_ENV_OURS = {
    "PATH": "the programs of the job's packages and of its base are on it; name others by path in command",
    "GLIBC_TUNABLES": "the linker's variables change which code runs",
    "HOME": _CACHE,
    "XDG_CACHE_HOME": _CACHE,
    "TRITON_CACHE_DIR": _CACHE,
    "TORCHINDUCTOR_CACHE_DIR": _CACHE,
    "CUDA_CACHE_PATH": _CACHE,
    "MPLCONFIGDIR": _CACHE,
    "USER": "every job runs as the user job",
    "LOGNAME": "every job runs as the user job",
}
SECTIONS: dict[str, type[Value]] = {
    "determinism": Determinism,
    "resources": Resources,
    "tolerance": Tolerances,
}
_TRACED = tuple(word.value for word in TracedTensors)
QUANTITIES = ("memory", "shm", "output_size", "timeout")
# Fields of Tolerances that a job file marks elsewhere -> how.
ELSEWHERE = {
    "volatile": "mark the glob where it is listed: outputs: [{glob: GLOB, volatile: true}]",
    "volatile_metrics": "mark the metric: tolerance: {metrics: {NAME: {volatile: true}}}",
}
_MOST = 1000  # globs of outputs, and tolerances: each is tried on each file or metric
NOT_EMPTY = ("name", "description", "source", "command", "seed", "outputs")


def kind_of(value: Any) -> str:
    """What a value is, in words for a message."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"{str(value).lower()}, a truth value"
    if isinstance(value, int | float):
        return f"the number {value!r}"
    if isinstance(value, str):
        return f"the text {shorten(value, 40)!r}"
    return "a list" if isinstance(value, list) else "a mapping"


def table_in(data: dict[str, Any], key: str) -> dict[str, Any]:
    """The mapping under a key, itself and not a copy; an empty one where there is none."""
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def write_out(data: dict[str, Any], found: Collector) -> None:
    """Replaces every short form in `data` by its long one, in place."""
    _drop_empty(data, found)
    data.setdefault("source", ".")
    _source(data, found)
    _params(data, found)
    _command(data, found)
    _env(data, found)
    _inputs(data, found)
    _tolerance(data, found)
    _outputs(data, found)
    _trace(data, found)
    _quantities(data, found)


def _drop_empty(data: dict[str, Any], found: Collector) -> None:
    """Drops keys without a value. `params:` counts as left out; `seed:` is reported as a likely mistake."""
    for key in [key for key, value in data.items() if value is None and key in JobSpec.model_fields]:
        del data[key]
        if key in NOT_EMPTY:
            found.add((key,), "has no value", "write one, or leave the line out")
    for section, model in SECTIONS.items():
        values = data.get(section)
        if isinstance(values, dict):
            known = model.model_fields.keys()
            kept = {key: value for key, value in values.items() if value is not None or key not in known}
            data[section] = kept


def _source(data: dict[str, Any], found: Collector) -> None:
    source = data["source"]
    if isinstance(source, str):
        data["source"] = {"path": source}
    elif not isinstance(source, dict):
        _refuse(data, ("source",), found, "a folder, or {path, commit}, or {git, commit}")


def _params(data: dict[str, Any], found: Collector) -> None:
    params = table_in(data, "params")
    for name, value in list(params.items()):
        if value is None or isinstance(value, dict | list):
            hint = "a parameter is text, a number, true or false"
            found.add(("params", name), f"is {kind_of(value)}", hint)
            del params[name]
        elif name == "seed":
            found.add(("params", name), "seed is a field of its own", "write seed beside params, not in it")
            del params[name]


def _command(data: dict[str, Any], found: Collector) -> None:
    command = data.get("command")
    if command is None:
        return
    if isinstance(command, list):
        for number, word in enumerate(command):
            if not isinstance(word, str):
                hint = "put it in quotes, or make it a parameter"
                found.add(("command", number), f"is {kind_of(word)}, not text", hint)
        empty = not command or command[0] == ""
    elif isinstance(command, str):
        empty = not command.strip()
    else:
        _refuse(data, ("command",), found, "text for the shell, or a list of words")
        return
    if empty:
        found.add(("command",), "is empty", "say what to run, such as: python train.py")
    if found.covers(("command",)) or any(found.covers(("command", n)) for n in range(len(command))):
        del data["command"]
        found.mark_reported(("command",))


def _env(data: dict[str, Any], found: Collector) -> None:
    env = table_in(data, "env")
    for name in list(env):
        by_prefix = (why for prefix, why in _ENV_REASONS.items() if name.upper().startswith(prefix))
        reason = _ENV_OURS.get(name) or next(by_prefix, None)
        if reason is not None:
            found.add(("env", name), "may not be set here", reason)
            del env[name]


def _inputs(data: dict[str, Any], found: Collector) -> None:
    inputs = table_in(data, "inputs")
    for name, value in list(inputs.items()):
        if isinstance(value, str):
            inputs[name] = {"path": value}
        elif not isinstance(value, dict):
            _refuse(inputs, ("inputs", name), found, "a path, data:NAME, run:RUN/PATH, or {path, sha256}")
        elif isinstance(digest := value.get("sha256"), str):
            value["sha256"] = "sha256:" + digest.lower().removeprefix("sha256:")


def _tolerance(data: dict[str, Any], found: Collector) -> None:
    """`accuracy: 0.01` is `accuracy: {abs: 0.01}`."""
    tolerance = table_in(data, "tolerance")
    for key, hint in ELSEWHERE.items():
        if key in tolerance:
            found.add(("tolerance", key), "there is no such key", hint)
            del tolerance[key]
    _volatile_metrics(tolerance, found)
    for part in ("metrics", "outputs"):
        if _too_many(tolerance, ("tolerance", part), found):
            del tolerance[part]
        table = table_in(tolerance, part)
        for name, value in list(table.items()):
            if isinstance(value, int | float) and not isinstance(value, bool):
                table[name] = {"abs": value}
            elif not isinstance(value, dict):
                _refuse(table, ("tolerance", part, name), found, "a number, or {abs, rel}")
            elif not value:
                found.add(("tolerance", part, name), "allows nothing", "say abs, rel or both")


def _volatile_metrics(tolerance: dict[str, Any], found: Collector) -> None:
    """`train_runtime: {volatile: true}` among the tolerances of metrics."""
    table = tolerance.get("metrics")
    if not isinstance(table, dict):
        return
    marked = []
    for name, value in list(table.items()):
        if not isinstance(value, dict) or "volatile" not in value:
            continue
        path = ("tolerance", "metrics", name)
        if not isinstance(value["volatile"], bool):
            found.add((*path, "volatile"), f"is {kind_of(value['volatile'])}", "it should be true or false")
            del table[name]
        elif not value["volatile"]:
            del value["volatile"]
        elif len(value) > 1:
            found.add(path, "is volatile and has a tolerance", "either: what is volatile is never compared")
            del table[name]
        else:
            marked.append(name)
            del table[name]
    tolerance["volatile_metrics"] = marked


def _outputs(data: dict[str, Any], found: Collector) -> None:
    """`{glob: GLOB, volatile: true}` is the output `GLOB`, and a mark.

    The mark says how a run is judged, which is not identity, so it is kept with the tolerances.
    """
    outputs = data.get("outputs")
    if not isinstance(outputs, list):
        return
    if _too_many(data, ("outputs",), found):
        del data["outputs"]
        return
    globs, volatile = [], []
    for number, value in enumerate(outputs):
        if not isinstance(value, dict):
            globs.append(value)
        elif (
            value.keys() <= {"glob", "volatile"}
            and isinstance(value.get("glob"), str)
            and isinstance(value.get("volatile", False), bool)
        ):
            globs.append(value["glob"])
            if value.get("volatile"):
                volatile.append(value["glob"])
        else:
            found.add(
                ("outputs", number),
                "is not an output",
                "it should be a glob, or {glob: GLOB, volatile: true}",
            )
            globs.append("**")
    data["outputs"] = globs
    tolerance = data.setdefault("tolerance", {}) if volatile else None
    if isinstance(tolerance, dict):
        tolerance["volatile"] = volatile


def _too_many(holder: dict[str, Any], path: KeyPath, found: Collector) -> bool:
    value = holder.get(str(path[-1]))
    count = len(value) if isinstance(value, list | dict) else 0
    if count > _MOST:
        hint = "say it in fewer: dir/** is all in a folder"
        found.add(path, f"has {count:,} entries, more than {_MOST:,}", hint)
    return count > _MOST


def drop_covered(data: dict[str, Any]) -> None:
    """Removes each glob of the outputs that another one covers.

    So `["**"]`, `["**", "logs/**"]` and `["**", {glob: "logs/**", volatile: true}]` are one experiment: which
    files are kept is identity, how they are judged is not.
    """
    globs = data.get("outputs")
    if not isinstance(globs, list) or not all(isinstance(glob, str) for glob in globs):
        return  # a wrong entry is reported by its place in the list
    data["outputs"] = [
        glob
        for place, glob in enumerate(globs)
        if not any(
            _covers(other, glob) and (number < place or not _covers(glob, other))
            for number, other in enumerate(globs)
            if number != place
        )
    ]


def _covers(glob: str, other: str) -> bool:
    """Whether `glob` fits everything that `other` fits. False where that is not obvious."""
    glob, other = glob.removeprefix("./"), other.removeprefix("./")
    folder = glob.removesuffix("**")
    everything = glob.endswith("**") and (
        folder == "" or (folder.endswith("/") and not set("*?") & set(folder))
    )
    return glob == other or (everything and other.startswith(folder))


def _trace(data: dict[str, Any], found: Collector) -> None:
    determinism = table_in(data, "determinism")
    if "trace" not in determinism:
        return
    trace = determinism["trace"]
    if trace in _TRACED:
        determinism["trace"] = {"tensors": trace}
    elif not isinstance(trace, dict):
        _refuse(determinism, ("determinism", "trace"), found, f"{', '.join(_TRACED)}, or {{every, tensors}}")


def _quantities(data: dict[str, Any], found: Collector) -> None:
    """Sizes to bytes, times to seconds."""
    resources = table_in(data, "resources")
    for key in QUANTITIES:
        value = resources.get(key)
        if isinstance(value, str):
            try:
                resources[key] = parse_span(value) if key == "timeout" else parse_size(value)
            except ValueError:
                wanted = (
                    "a time such as 90, 30m or 1h30m" if key == "timeout" else "a size such as 512MiB or 8GiB"
                )
                _refuse(resources, ("resources", key), found, wanted)


def _refuse(holder: dict[str, Any], path: KeyPath, found: Collector, wanted: str) -> None:
    """Reports the value at `path` and removes it."""
    last = str(path[-1])
    found.add(path, f"is {kind_of(holder[last])}", f"it should be {wanted}")
    del holder[last]
