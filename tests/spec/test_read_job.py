"""Reading a job file: short forms, paths, overrides, and every mistake at its line."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.digest import Digest
from orchestrator.errors import UsageError
from orchestrator.payload.determinism.torch_settings import SETTING_NAMES
from orchestrator.run.engine.container_config import CACHES
from orchestrator.spec.jobfile.command_check import MOST_TEXT
from orchestrator.spec.jobfile.job_spec import JobSpec, Level, Network, Tolerance, Trace, TracedTensors
from orchestrator.spec.jobfile.placeholders import filled_size
from orchestrator.spec.jobfile.problems import SpecError
from orchestrator.spec.jobfile.read_job import read_spec
from orchestrator.spec.program import program_of

ROOT = Path(__file__).resolve().parents[2]
HEAD = "name: x\ncommand: python a.py\n"
Read = Callable[..., JobSpec]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads a text as tmp_path/job/job.yaml."""
    folder = tmp_path / "job"
    folder.mkdir()

    def read(text: str, *args: Any) -> JobSpec:
        (folder / "job.yaml").write_text(text)
        return read_spec(folder, *args)

    return read


def problems(read: Read, text: str, *args: Any) -> dict[str, int | None]:
    """Key to line of what is wrong."""
    with pytest.raises(SpecError) as caught:
        read(text, *args)
    return {problem.key: problem.line for problem in caught.value.problems}


@pytest.mark.parametrize("path", sorted((ROOT / "jobs").rglob("job.yaml")), ids=lambda path: path.parent.name)
def test_every_example_reads(path: Path) -> None:
    spec = read_spec(path)
    assert spec == read_spec(path.parent)
    assert spec.source.path == str(path.parent)


def test_the_least_that_a_job_file_says(read: Read, tmp_path: Path) -> None:
    spec = read(HEAD)
    assert spec == JobSpec(
        name="x", command="python a.py", source={"path": str((tmp_path / "job").resolve())}
    )


def test_short_forms(read: Read, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    digest = "AB" * 32
    spec = read(
        HEAD
        + f"inputs: {{a: ../data, b: {{path: {tmp_path}/data, sha256: {digest}}},\n"
        + f" c: {{path: ., sha256: sha256:{digest}}}}}\n"
        + "tolerance: {metrics: {acc: 0.01, loss: {rel: 1}}, outputs: {'*.npy': 0}}\n"
        + "determinism: {level: off, trace: {every: 2, tensors: all}}\n"
        + "resources: {memory: 8GiB, shm: 512MB, output_size: 2g, timeout: 1h30m, cpus: 2, network: bridge}\n"
    )
    assert {name: item.path for name, item in spec.inputs.items()} == {
        "a": str(tmp_path / "data"),
        "b": str(tmp_path / "data"),
        "c": str(tmp_path / "job"),
    }
    assert spec.inputs["b"].sha256 == spec.inputs["c"].sha256 == Digest("sha256:" + digest.lower())
    assert spec.tolerance.metrics == {"acc": Tolerance(abs=0.01), "loss": Tolerance(rel=1)}
    assert spec.tolerance.outputs == {"*.npy": Tolerance()}
    assert spec.determinism.level is Level.OFF
    assert spec.determinism.trace == Trace(every=2, tensors=TracedTensors.ALL)
    resources = spec.resources
    assert (resources.memory, resources.shm, resources.output_size) == (8 << 30, 512 << 20, 2 << 30)
    assert (resources.timeout, resources.cpus, resources.network) == (5400, 2.0, Network.BRIDGE)
    assert read(HEAD + "determinism: {trace: off}\nresources: {timeout: 90}\n").resources.timeout == 90
    for text, trace in (
        ("off", Trace(tensors=TracedTensors.OFF)),
        ("params", Trace(tensors=TracedTensors.PARAMS)),
        ("all", Trace()),
        ("{every: 5}", Trace(every=5, tensors=TracedTensors.ALL)),
    ):
        assert read(HEAD + f"determinism: {{trace: {text}}}\n").determinism.trace == trace


def test_a_volatile_metric_is_a_tolerance_and_no_other_program(read: Read) -> None:
    plain = read(HEAD + "tolerance: {metrics: {loss: 0.5}}\n")
    marked = read(HEAD + "tolerance: {metrics: {loss: 0.5, t: {volatile: true}, '*_s': {volatile: true}}}\n")
    assert marked.tolerance.volatile_metrics == ("t", "*_s")
    assert marked.tolerance.metrics == plain.tolerance.metrics
    assert program_of(marked, {}) == program_of(plain, {})
    unmarked = read(HEAD + "tolerance: {metrics: {loss: {abs: 0.5, volatile: false}}}\n")
    assert unmarked.tolerance == plain.tolerance


def test_a_volatile_output_is_kept_and_no_other_program(read: Read) -> None:
    marked = read(HEAD + "outputs: ['*.pt', {glob: 'logs/**', volatile: true}, {glob: a}]\n")
    plain = read(HEAD + "outputs: ['*.pt', 'logs/**', a]\n")
    assert marked.outputs == plain.outputs == ("*.pt", "logs/**", "a")
    assert marked.tolerance.volatile == ("logs/**",)
    assert plain.tolerance.volatile == ()
    assert program_of(marked, {}) == program_of(plain, {})
    only = read(HEAD + "outputs: [{glob: a, volatile: true}]\n")
    assert (only.outputs, only.tolerance.volatile) == (("a",), ("a",))  # the list is all that is kept


def test_marking_a_part_of_what_is_kept_anyway_is_no_other_program(read: Read) -> None:
    default = read(HEAD)
    marked = read(
        HEAD + "outputs: ['**', {glob: 'logs/**', volatile: true}, {glob: '*.log', volatile: true}]\n"
    )
    assert program_of(marked, {}) == program_of(default, {})
    assert marked.tolerance.volatile == ("logs/**", "*.log")


@pytest.mark.parametrize(
    ("globs", "left"),
    [
        (["logs/a/**", "./logs/**", "logs/*.txt", "b"], ("./logs/**", "b")),
        (["a", "a", "./a"], ("a",)),
        (["./**", "**"], ("./**",)),
        (["*/**", "logs/a"], ("*/**", "logs/a")),  # not plain to see
        (["logs**", "logs2"], ("logs**", "logs2")),  # ** is no folder there
        (["logs/**", "logs2/a", "logs"], ("logs/**", "logs2/a", "logs")),
    ],
)
def test_outputs_that_another_covers(read: Read, globs: list[str], left: tuple[str, ...]) -> None:
    assert read(HEAD + f"outputs: {globs}\n").outputs == left


def test_empty_sections_are_as_good_as_left_out(read: Read) -> None:
    sections = "params:\nenv:\ninputs:\ntolerance:\ndeterminism:\nresources: {memory: ~}\n"
    assert read(HEAD + sections + "base: ~\nmetrics:\nrequirements:\n") == read(HEAD)
    assert problems(read, HEAD + "seed:\n") == {"seed": 3}


def test_parameters_keep_their_types(read: Read) -> None:
    params = read(HEAD + "params: {a: 1, b: 1.0, c: true, d: '1', e: 1e-3, f: no}\n").params
    assert [(value, type(value)) for value in params.values()] == [
        (1, int),
        (1.0, float),
        (True, bool),
        ("1", str),
        (0.001, float),
        ("no", str),
    ]


@pytest.mark.parametrize(
    ("source", "commit"),
    [("{path: .}", None), ("{path: ., commit: abc}", "abc"), ("{git: ., commit: v1}", "v1")],
)
def test_forms_of_source(read: Read, tmp_path: Path, source: str, commit: str | None) -> None:
    spec = read(HEAD + f"source: {source}\n")
    assert (spec.source.path, spec.source.commit) == (str(tmp_path / "job"), commit)


def test_source_and_requirements_stay_in_the_folder_or_its_repository(read: Read, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lock.txt").write_text("")
    text = HEAD + "source: ../lib\nrequirements: ../lock.txt\n"
    assert problems(read, text) == {"source": 3, "requirements": 4}
    (tmp_path / "job/link").symlink_to(tmp_path / "lib")
    assert problems(read, HEAD + "source: link\n") == {"source": 3}
    assert read(HEAD + "source: {git: ../lib, commit: main}\n").source.path == str(tmp_path / "lib")
    (tmp_path / ".git").mkdir()
    spec = read(text)
    assert (spec.source.path, spec.requirements) == (str(tmp_path / "lib"), str(tmp_path / "lock.txt"))


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("source: /", "source"),
        ("source: ~", "source"),
        ("source: ''", "source"),
        ("source: nowhere", "source"),
        ("source: job.yaml", "source"),
        ("source: https://me:secret@host/repo.git", "source"),
        ("source: git@host:me/repo.git", "source"),
        ("source: {git: .}", "source.git"),
        ("source: {git: ., path: .}", "source"),
        ("source: {commit: abc}", "source.path"),
        ("source: {path: ., comit: abc}", "source.comit"),
        ("source: [.]", "source"),
        ("source: {path: " + "x" * 5000 + "}", "source"),
        ("requirements: nowhere.txt", "requirements"),
        ("requirements: .", "requirements"),
        ("requirements: /etc/hostname", "requirements"),
        ("inputs: {a: nowhere}", "inputs.a"),
        ("inputs: {a: ''}", "inputs.a"),
        ("inputs: {a: /dev/null}", "inputs.a"),
        ("inputs: {a: s3://bucket/x}", "inputs.a"),
        ("inputs: {a: {path: ., sha256: abc}}", "inputs.a.sha256"),
        ("inputs: {a: {}}", "inputs.a.path"),
        ("inputs: {a: 1}", "inputs.a"),
        ("inputs: {a/b: .}", "inputs.a/b"),
        ("inputs: [.]", "inputs"),
        ("outputs: '*.pt'", "outputs"),
        ("outputs: [/etc/*]", "outputs[0]"),
        ("outputs: [a, b/../../c]", "outputs[1]"),
        ("outputs: [dir/]", "outputs[0]"),
        ("outputs: ['']", "outputs[0]"),
        ("metrics: ../m.json", "metrics"),
        ("metrics: 3", "metrics"),
        ("tolerance: {outputs: {/a: 1}}", "tolerance.outputs./a"),
        ("tolerance: {metrics: {a: -1}}", "tolerance.metrics.a.abs"),
        ("tolerance: {metrics: {a: {}}}", "tolerance.metrics.a"),
        ("tolerance: {metrics: {a: true}}", "tolerance.metrics.a"),
        ("tolerance: 1", "tolerance"),
        ("determinism: {level: hard}", "determinism.level"),
        ("determinism: {threads: 0}", "determinism.threads"),
        ("determinism: {threads: 1.0}", "determinism.threads"),
        ("determinism: {portable_cpu: no}", "determinism.portable_cpu"),
        ("determinism: {trace: {every: 0}}", "determinism.trace.every"),
        ("determinism: {trace: {tensors: some}}", "determinism.trace.tensors"),
        ("outputs: [{glob: a, volatile: yes}]", "outputs[0]"),
        ("outputs: [a, {glob: b, why: c}]", "outputs[1]"),
        ("outputs: [{volatile: true}]", "outputs[0]"),
        ("outputs: [{glob: /a, volatile: true}]", "outputs[0]"),
        ("outputs: ['**', a, {glob: 'b/', volatile: true}]", "outputs[2]"),
        ("outputs: ['**', a, 5]", "outputs[2]"),
        ("tolerance: {volatile: [a]}", "tolerance.volatile"),
        ("tolerance: {volatile_metrics: [a]}", "tolerance.volatile_metrics"),
        ("tolerance: {metrics: {a: {volatile: yes}}}", "tolerance.metrics.a.volatile"),
        ("tolerance: {metrics: {a: {volatile: true, abs: 1}}}", "tolerance.metrics.a"),
        ("tolerance: {metrics: {a: {volatile: false}}}", "tolerance.metrics.a"),
        ("tolerance: {outputs: {a: {volatile: true}}}", "tolerance.outputs.a.volatile"),
        ("determinism: {trace: no}", "determinism.trace"),
        ("resources: {memory: lots}", "resources.memory"),
        ("resources: {memory: 1.5}", "resources.memory"),
        ("resources: {timeout: 0}", "resources.timeout"),
        ("resources: {timeout: '1:30'}", "resources.timeout"),
        ("resources: {gpus: true}", "resources.gpus"),
        ("resources: {network: host}", "resources.network"),
        ("resources: {cpus: .inf}", "resources.cpus"),
        ("base: python:3.11", "base"),
        ("base: 1.10", "base"),
        ("seed: -1", "seed"),
        ("seed: 1.0", "seed"),
        ("seed: 4294967296", "seed"),
        ("description: 3", "description"),
        ("env: {A: 1}", "env.A"),
        ("env: {a-b: x}", "env.a-b"),
        ("params: {a: ~}", "params.a"),
        ("params: {seed: 1}", "params.seed"),
        ("params: {a b: 1}", "params.a b"),
        ("params: 3", "params"),
        ("unknown: 3", "unknown"),
        ("unknown: ~", "unknown"),
        ("determinism: {thread: ~}", "determinism.thread"),
    ],
)
def test_each_mistake_is_one_problem_at_its_line(read: Read, line: str, key: str) -> None:
    assert problems(read, f"{HEAD}{line}\n") == {key: 3}


@pytest.mark.parametrize(
    "name",
    [
        *("REPRISE_SEED", "LD_PRELOAD", "GLIBC_TUNABLES", "NVIDIA_VISIBLE_DEVICES", "PYTHONPATH", "PATH"),
        *CACHES,  # what the container is given wins over the image's environment, so over the spec's
        *SETTING_NAMES,
    ],
)
def test_variables_that_are_not_the_jobs(read: Read, name: str) -> None:
    assert problems(read, f"{HEAD}env: {{OK: a, {name}: b}}\n") == {f"env.{name}": 3}


def test_a_path_of_ones_own_is_refused_by_line_key_and_hint(read: Read) -> None:
    """It would hide the programs of the job's own packages."""
    with pytest.raises(SpecError) as caught:
        read(f"{HEAD}env:\n  MODE: quick\n  PATH: /home/me/bin:/usr/bin\n")
    (problem,) = caught.value.problems
    assert (problem.line, problem.key, problem.message) == (5, "env.PATH", "may not be set here")
    assert "name others by path in command" in (problem.hint or "")


@pytest.mark.parametrize(
    "name", ["TORCH_HOME", "TORCHINDUCTOR_MAX_AUTOTUNE", "TF_CPP_MIN_LOG_LEVEL", "PATHS", "HOME_URL"]
)
def test_variables_that_only_look_like_settings(read: Read, name: str) -> None:
    assert read(f"{HEAD}env: {{{name}: b}}\n").env == {name: "b"}


@pytest.mark.parametrize(
    "command", ["''", "' '", "[]", "['']", "3", "{a: b}", "[python, 1]", "[python, [a]]", "~"]
)
def test_commands_that_run_nothing(read: Read, command: str) -> None:
    found = problems(read, f"name: x\ncommand: {command}\n")
    assert len(found) == 1
    assert set(found.values()) == {2}


def test_placeholders(read: Read) -> None:
    text = "name: x\nparams: {lr: 1}\ncommand:\n- python\n- '{lr} {seed} {{no}} ${HOME}'\n- '{lrr}'\n"
    with pytest.raises(SpecError) as caught:
        read(text)
    (problem,) = caught.value.problems
    assert (problem.line, problem.key) == (6, "command[2]")
    assert "did you mean lr?" in str(problem)
    assert read(text.replace("lrr", "lr")).command[1] == "{lr} {seed} {{no}} ${HOME}"


def test_everything_is_told_at_once(read: Read) -> None:
    text = "name: x\nsead: 1\ncommand: python {lr}\nparams: {a: [1], a: 2}\nseed: no\n"
    text += "resources:\n  memmory: 1\n"
    with pytest.raises(SpecError) as caught:
        read(text, {"b": "1"}, -1)
    told = caught.value.problems
    assert [problem.line for problem in told] == [None, None, 2, 3, 4, 4, 5, 7]
    assert caught.value.message.splitlines() == [str(problem) for problem in told]
    assert str(told[2]).endswith("job.yaml:2: sead: there is no such key (did you mean seed?)")
    assert "did you mean memory?" in str(told[-1])


def test_missing_keys_are_told_without_a_line(read: Read) -> None:
    assert problems(read, "seed: 1\n") == {"name": None, "command": None}


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("i=5", 5),
        ("i=0x10", 16),
        ("f=5", 5.0),
        ("f=1e-3", 0.001),
        ("b=false", False),
        ("s=word", "word"),
        ("s= two words: and #", " two words: and #"),
        ("s=", ""),
        ("s='5'", "5"),
        ('s="a\\tb"', "a\tb"),
    ],
)
def test_overrides(read: Read, typed: str, value: object) -> None:
    name, _, text = typed.partition("=")
    found = read(HEAD + "params: {i: 1, f: 0.1, b: true, s: x}\n", {name: text}, 7)
    assert (found.params[name], type(found.params[name])) == (value, type(value))
    assert found.seed == 7


@pytest.mark.parametrize(
    "typed",
    [
        *["i=5.0", "i=true", "i=x", "i=", "i=017", "i=" + "9" * 30],
        *["f=nan", "f=.nan", "f=x", "f='1'", "b=1", "b=no"],
        *["s=5", "s='", "s='a' b", "s=\udcff", "nope=1"],
    ],
)
def test_overrides_of_another_type_are_refused(read: Read, typed: str) -> None:
    name, _, text = typed.partition("=")
    found = problems(read, HEAD + "params: {i: 1, f: 0.1, b: true, s: x}\n", {name: text})
    assert found == {f"-p {name}": None}


ASKING = "name: x\ncommand: [python, a.py, '{lr}', '{seed}']\n"


@pytest.mark.parametrize("params", ["", "params:\n", "params: {other: 1}\n"])
@pytest.mark.parametrize(
    ("text", "value"),
    [("0.1", 0.1), ("1", 1), ("true", True), ("word", "word"), ("no", "no"), ("'5'", "5"), ("''", "")],
)
def test_a_placeholder_without_a_value_in_the_file_is_given_one(
    read: Read, params: str, text: str, value: object
) -> None:
    found = read(ASKING + params, {"lr": text}).params["lr"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["", "~", ".nan", "017", "'a", "9" * 30, "\udcff"])
def test_a_placeholder_given_no_value_is_one_problem(read: Read, text: str) -> None:
    assert problems(read, ASKING, {"lr": text}) == {"-p lr": None}


def test_a_placeholder_that_nobody_gives_a_value_is_still_a_problem(read: Read) -> None:
    assert problems(read, ASKING) == {"command[2]": 2}
    with pytest.raises(SpecError, match="or give it: -p lr=VALUE;"):
        read(ASKING)
    with pytest.raises(SpecError, match=r"\(did you mean lr2\?; \{"):
        read(ASKING + "params: {lr2: 1}\n")
    assert problems(read, ASKING, {"lrr": "1"}) == {"-p lrr": None, "command[2]": 2}


def test_a_misspelt_parameter_finds_the_placeholder_it_means(read: Read) -> None:
    with pytest.raises(SpecError, match=r"-p lrr: .*did you mean lr\?"):
        read(ASKING, {"lrr": "1"})


def test_the_seed_is_not_a_parameter(read: Read) -> None:
    with pytest.raises(SpecError, match=r"-p seed: .*--seed"):
        read(ASKING, {"lr": "1", "seed": "3"})


@pytest.mark.parametrize("params", ["params: 3\n", "params: [a]\n"])
def test_params_that_are_no_mapping_stay_one_problem(read: Read, params: str) -> None:
    assert problems(read, ASKING + params, {"lr": "1"}) == {"params": 3}


def test_a_seed_typed_wins_over_that_of_the_file(read: Read) -> None:
    assert read(HEAD + "seed: 3\n", None, 0).seed == 0
    assert problems(read, HEAD, None, 1 << 32) == {"--seed": None}


def test_a_lock_that_is_not_made_yet_is_made_by_a_command(read: Read) -> None:
    with pytest.raises(SpecError, match=r"`reprise lock` writes a lock"):
        read(HEAD + "requirements: requirements.lock\n")
    with pytest.raises(SpecError) as refused:
        read(HEAD + "requirements: wheels.txt\n")
    assert "reprise lock" not in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such job file"):
        read_spec(tmp_path / "nope.yaml")
    with pytest.raises(UsageError, match=r"has no job\.yaml"):
        read_spec(tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_spec(tmp_path / ("x" * 300))
    (tmp_path / "train.py").write_text("import torch\nx: int = 3\n")
    with pytest.raises(UsageError, match="is a script") as refused:
        read_spec(tmp_path / "train.py")
    assert refused.value.hint == f"run: reprise init {tmp_path / 'train.py'}; it drafts the job file"
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="neither a file"):
        read_spec(tmp_path / "fifo")


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"# nothing\n", "empty"),
        (b"[1]", "a list"),
        (b"hello", "the text"),
        (b"a: 1\nb: \xff", "UTF-8"),
        (b"\x7fELF\x00\x01", "not YAML"),
        (b"\xff\xfea\x00", "UTF-8"),
        (b"#" * ((1 << 20) + 1), "larger"),
        (b"*x", "aliases"),
    ],
)
def test_files_that_are_no_job_files(tmp_path: Path, data: bytes, word: str) -> None:
    (tmp_path / "job.yaml").write_bytes(data)
    with pytest.raises(UsageError, match=word):
        read_spec(tmp_path)


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "job.yaml").write_text(HEAD)

    def refuse(*_args: object, **_more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read anything, so chmod would not do
    with pytest.raises(UsageError, match="cannot be read: Permission denied"):
        read_spec(tmp_path)


def test_inputs_that_the_record_knows_are_left_as_they_are(read: Read, tmp_path: Path) -> None:
    (tmp_path / "job" / "data:x").write_text("")
    names = {"a": "data:mnist", "b": "data:mnist@3", "c": "run:0123abcd/ckpt/", "d": "run:j@best(acc)/m.pt"}
    digest = "ab" * 32
    more = f" e: {{path: 'run:prod/m', sha256: {digest}}},\n f: './data:x'}}\n"
    spec = read(HEAD + "inputs: {" + "".join(f"{name}: '{text}',\n " for name, text in names.items()) + more)
    assert {name: spec.inputs[name].path for name in names} == names
    assert spec.inputs["e"].path == "run:prod/m" and spec.inputs["e"].sha256 == f"sha256:{digest}"
    assert spec.inputs["f"].path == str(tmp_path / "job" / "data:x")


def test_a_reference_of_no_known_form_is_told_at_its_line(read: Read) -> None:
    text = HEAD + "inputs:\n  a: data:no name\n  b: run:x/../y\n  c: {path: 'run:j@worst(a)/m'}\n"
    assert problems(read, text) == {"inputs.a": 4, "inputs.b": 5, "inputs.c": 6}


def test_inputs_are_replaced_on_the_command_line(read: Read, tmp_path: Path) -> None:
    """The place in the file need not be there then; a digest that the file demands stays."""
    (tmp_path / "data").write_text("")
    digest = "ab" * 32
    text = HEAD + f"inputs: {{a: nowhere, b: {{path: data:x, sha256: {digest}}}}}\n"
    spec = read(text, {}, None, {"a": str(tmp_path / "data"), "b": "run:prod/m"})
    assert spec.inputs["a"].path == str(tmp_path / "data") and spec.inputs["b"].path == "run:prod/m"
    assert spec.inputs["b"].sha256 == f"sha256:{digest}"
    assert problems(read, text, {}, None, {"a": "data:-", "q": "x"}) == {"inputs.a": 3, "--input q": None}


WORDS = ", ".join(['"a{p}"'] * 20)
MOST = MOST_TEXT - len("REPRISE_PARAMS=")  # letters of all params, as JSON


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (f"name: x\ncommand: {'a' * MOST_TEXT}\n", {}),
        (f"name: x\ncommand: {'ä' * MOST_TEXT}\n", {"command": 2}),
        (f"name: x\ncommand: [b, {'a' * MOST_TEXT}a]\n", {"command[1]": 2}),
        (f"{HEAD}env: {{A: {'a' * (MOST_TEXT - 2)}}}\n", {}),
        (f"{HEAD}env:\n  A: {'a' * (MOST_TEXT - 1)}\n", {"env.A": 4}),
        (f"{HEAD}params: {{p: {'a' * (MOST - 8)}}}\n", {}),  # with `{"p":""}` around
        (f"{HEAD}params:\n  p: {'a' * MOST}\n", {"params": 3}),
        (f"name: x\ncommand: a {'{p}' * 2000}\nparams: {{p: {'a' * 1000}}}\n", {"command": 2}),
        (f"name: x\ncommand: a {'{{' * 100_000}\n", {}),
        (f"name: x\ncommand: [{WORDS}]\nparams: {{p: {'a' * 100_000}}}\n", {"": None}),
    ],
)
def test_what_no_process_could_be_given_is_told_with_its_place(
    read: Read, text: str, wrong: dict[str, int | None]
) -> None:
    if wrong:
        assert problems(read, text) == wrong
    else:
        program = program_of(read(text), {})
        assert all(len(word.encode()) <= MOST_TEXT for word in program.command)


def test_a_value_that_is_filled_in_a_hundred_thousand_times_takes_no_memory(read: Read) -> None:
    """It would have 30 GB."""
    text = f"name: x\ncommand: a {'{p}' * 100_000}\nparams: {{p: {'a' * 300_000}}}\n"
    assert problems(read, text) == {"command": 2, "params": 3}


def test_the_size_of_a_command_is_that_of_the_filled_one(read: Read) -> None:
    command = "a {p} {{p}} ${{p}} }} {n}{seed} {q} ü"
    spec = read(f'name: x\ncommand: {command!r}\nparams: {{p: "it\'s", n: -1e-7, q: ü ß}}\nseed: 12\n')
    texts = {"p": "it's", "n": "-0.0000001", "q": "ü ß", "seed": "12"}
    sizes = {name: len(shlex.quote(text).encode()) for name, text in texts.items()}
    assert filled_size(command, sizes) == len(program_of(spec, {}).command[-1].encode())


@pytest.mark.parametrize("part", ["outputs", "tolerance.outputs", "tolerance.metrics"])
def test_more_globs_than_anybody_tries_are_refused(read: Read, part: str) -> None:
    """Each is tried on each other, on each file, or on each metric."""
    above, _, key = part.rpartition(".")
    many = "[" + ", ".join(f"g{n}" for n in range(1001)) + "]"
    if above:
        many = "{" + ", ".join(f"g{n}: 1" for n in range(1001)) + "}"
    text = f"{HEAD}{f'{above}: ' if above else ''}{'{' * bool(above)}{key}: {many}{'}' * bool(above)}\n"
    assert problems(read, text) == {part: 3}


def test_names_by_the_thousand_are_not_all_compared_with_each_other(read: Read) -> None:
    """Of 4,000 unknown placeholders each was held against 4,000 parameters: minutes."""
    command = " ".join(f"{{parameter_of_some_name_{n}_a}}" for n in range(4000))
    params = "".join(f"  parameter_of_some_name_{n}_b: 1\n" for n in range(4000))
    begun = time.process_time()
    with pytest.raises(SpecError) as caught:
        read(f"name: x\ncommand: x {command}\nparams:\n{params}")
    assert time.process_time() - begun < 5
    assert len(caught.value.problems) == 4000
    assert "did you mean parameter_of_some_name_0_b?" in str(caught.value.problems[0])
    assert len(caught.value.message) < 20_000


def test_a_path_with_a_variable_or_a_line_end_is_told_in_a_line(read: Read) -> None:
    with pytest.raises(SpecError) as caught:
        read(f'{HEAD}source: $A\nrequirements: a$B\ninputs: {{c: $C/x, d: "a\\nb"}}\n')
    said = {problem.key: problem for problem in caught.value.problems}
    for key in ("source", "requirements", "inputs.c"):
        assert (said[key].hint or "").startswith("variables are not filled in"), key
    assert (said["inputs.c"].hint or "").endswith("or give it: --input c=…")
    assert len(caught.value.message.splitlines()) == 4


def test_paths_that_are_not_utf_8_are_told_in_a_line(tmp_path: Path) -> None:
    """No row, label or document could hold them."""
    text = "name: x\ncommand: python train.py\ninputs: {data: data.bin}\n"
    for folder in (tmp_path / "d\udce9", tmp_path / "good"):
        folder.mkdir()
        (folder / "train.py").touch()
        (folder / "data.bin").touch()
        (folder / "job.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"d\\xe9/job.yaml: the path of its folder is not UTF-8"):
        read_spec(tmp_path / "d\udce9")
    with pytest.raises(SpecError, match="--input data: its path is not UTF-8"):
        read_spec(tmp_path / "good", inputs={"data": str(tmp_path / "d\udce9" / "data.bin")})
