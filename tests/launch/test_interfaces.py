"""Command lines of other libraries than argparse: which options become parameters, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from support.drafts import words_of
from support.examples import tries

from orchestrator.launch.project_survey.draft_project import draft_files
from orchestrator.launch.project_survey.job_text import command_of, demanded
from orchestrator.launch.project_survey.survey_project import survey_project
from orchestrator.spec.jobfile.job_spec import JobSpec
from orchestrator.spec.jobfile.read_job import read_spec_text


def drafted(folder: Path, files: dict[str, str], script: str = "train.py") -> JobSpec:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    survey = survey_project(folder / script, {"torch": "", "numpy": ""})
    text = draft_files(survey)["job.yaml"]
    spec = read_spec_text(text, folder / "job.yaml", dict.fromkeys(demanded(survey.draft), "given"))
    assert spec.command == " ".join(command_of(survey.draft)), "nothing else of the file is read as command"
    return spec


CLICK = """
import click
WIDTH = 8
@click.command()
@click.argument("data")
@click.option("--lr", default=0.1, help="learning rate")
@click.option("-e", "--epochs", type=int, default=3)
@click.option("--width", default=WIDTH, show_default=True)
@click.option("--opt", type=click.Choice(["sgd", "adam"]), default="sgd")
@click.option("--shuffle/--no-shuffle", default=True)
@click.option("--amp", is_flag=True)
@click.option("--layers", multiple=True, default=[1])
@click.option("--out")
@click.option("--seed", default=42)
def main(**options):
    pass
if __name__ == "__main__":
    main()
"""


TYPER = """
import typer
from typing import Annotated, Optional
def main(
    data: str,
    lr: float = 0.1,
    batch_size: Annotated[int, typer.Option(help="rows")] = 4,
    width: int = typer.Option(8, "--width", "-w"),
    opt: Optional[str] = "sgd",
    fast: bool = False,
    out: Optional[str] = None,
    seed: int = 42,
):
    pass
if __name__ == "__main__":
    typer.run(main)
"""
TYPER_APP = """
import typer
app = typer.Typer()
@app.command()
def evaluate(k: int = 3):
    pass
@app.command()
def train(lr: float = 0.1):
    pass
if __name__ == "__main__":
    app()
"""
FIRE = """
import fire
def main(data, lr=0.1, batch_size=4, opt="sgd", kernel="3", fast=False, layers=(1, 2), out=None, seed=42):
    pass
if __name__ == "__main__":
    fire.Fire(main)
"""
ABSL = """
from absl import app, flags
flags.DEFINE_float("lr", 0.1, "learning rate")
flags.DEFINE_integer("seed", 42, "seed")
flags.DEFINE_enum("opt", "sgd", ["sgd", "adam"], "optimizer")
flags.DEFINE_bool("fast", False, "")
flags.DEFINE_string("out", None, "")
"""
TYRO = """
import tyro
from dataclasses import dataclass, field
@dataclass
class Args:
    data: str
    learning_rate: float = 1e-3
    seed: int = 42
    fast: bool = True
    layers: list[int] = field(default_factory=list)
args = tyro.cli(Args)
"""
HF = """
from dataclasses import dataclass, field
from transformers import HfArgumentParser, TrainingArguments
@dataclass
class ModelArguments:
    name: str = field(default="gpt2", metadata={"help": "which model"})
    lr: float = field(default=0.1)
parser = HfArgumentParser((ModelArguments, TrainingArguments))
"""
GLOBALS = """
lr = 6e-4
batch_size = 4
opt = 'sgd'
compile = True
kernel = '3'
seed = 42
exec(open('configurator.py').read())
later = 5
"""


@pytest.mark.parametrize(
    ("text", "command", "params", "seed"),
    [
        (
            CLICK,
            "python train.py --lr {lr} --epochs {epochs} --width {width} --opt {opt} --seed {seed} {data}",
            {"lr": 0.1, "epochs": 3, "width": 8, "opt": "sgd", "data": "given"},
            42,
        ),
        (
            TYPER,
            "python train.py --lr {lr} --batch-size {batch_size} --width {width} --opt {opt} "
            "--seed {seed} {data}",
            {"lr": 0.1, "batch_size": 4, "width": 8, "opt": "sgd", "data": "given"},
            42,
        ),
        (TYPER_APP, "python train.py train --lr {lr}", {"lr": 0.1}, 0),
        (
            FIRE,
            "python train.py --data={data} --lr={lr} --batch_size={batch_size} --opt={opt} --seed={seed}",
            {"data": "given", "lr": 0.1, "batch_size": 4, "opt": "sgd"},
            42,
        ),
        (ABSL, "python train.py --lr={lr} --seed={seed} --opt={opt}", {"lr": 0.1, "opt": "sgd"}, 42),
        (
            TYRO,
            "python train.py --data {data} --learning-rate {learning_rate} --seed {seed}",
            {"data": "given", "learning_rate": 0.001},
            42,
        ),
        (HF, "python train.py --name {name} --lr {lr}", {"name": "gpt2", "lr": 0.1}, 0),
        (
            GLOBALS,
            "python train.py --lr={lr} --batch_size={batch_size} --opt={opt} --seed={seed}",
            {"lr": 0.0006, "batch_size": 4, "opt": "sgd"},
            42,
        ),
    ],
    ids=["click", "typer", "typer-app", "fire", "absl", "tyro", "hf", "globals"],
)
def test_options_become_parameters(
    tmp_path: Path, text: str, command: str, params: dict[str, Any], seed: int
) -> None:
    configurator = "import sys\nfor arg in sys.argv[1:]:\n    globals()[arg] = 1\n"
    spec = drafted(tmp_path, {"train.py": text, "configurator.py": configurator})
    assert spec.command == command
    assert spec.params == params
    assert spec.seed == seed


HYDRA = """
import hydra
@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    pass
if __name__ == "__main__":
    main()
"""
CONFIG = """
defaults:
  - model: small
  - _self_
seed: 42
data: ???
optimizer:
  lr: 1e-3
  name: sgd
  betas: [0.9, 0.99]
  path: ${data}/x
fast: true
out: null
hydra:
  job: {chdir: true}
"""


def test_hydras_configuration_becomes_overrides_and_its_dated_folder_goes(tmp_path: Path) -> None:
    spec = drafted(tmp_path, {"train.py": HYDRA, "conf/config.yaml": CONFIG})
    assert spec.command == (
        "python train.py seed={seed} data={data} optimizer.lr={optimizer.lr} optimizer.name={optimizer.name} "
        "fast={fast} model={model} hydra.run.dir=."
    )
    assert spec.params == {
        "data": "given",
        "optimizer.lr": 0.001,
        "optimizer.name": "sgd",
        "fast": True,
        "model": "small",
    }
    assert spec.seed == 42
    assert spec.tolerance.volatile == ("*.log",)


@pytest.mark.parametrize(
    ("defaults", "left_out"),
    [
        ("[model: small, extra, _self_]", ()),
        ("[model: small, extra]", ()),
        ("[_self_, model: small]", ("model.hidden",)),
        ("[_self_, override model: small]", ("model.hidden",)),
        ("[_self_, model@net: small]", ("net.hidden",)),
        ("[_self_, extra]", ("lr",)),
        ("[extra, _self_, model: small]", ("model.hidden",)),
        ("[_self_, all: of_it]", ("lr", "net.hidden")),
        ("[_self_, model: nested]", ("model.hidden", "model.depth")),
        ("[_self_, model: absent]", ("model.hidden", "model.depth")),
        ("[_self_, model: null]", ()),
    ],
)
def test_what_later_files_of_hydras_configuration_set_is_no_override(
    tmp_path: Path, defaults: str, left_out: tuple[str, ...]
) -> None:
    """As hydra 1.3.8 composes them: what stands behind `_self_` counts."""
    own = "lr: 0.1\nmodel: {hidden: 1, depth: 7}\nnet: {hidden: 2}\n"
    files = {
        "train.py": HYDRA,
        "conf/config.yaml": f"defaults: {defaults}\n{own}",
        "conf/extra.yaml": "lr: 0.001\n",
        "conf/model/small.yaml": "hidden: 64\n",
        "conf/model/nested.yaml": "defaults: [small]\n",
        "conf/all/of_it.yaml": "# @package _global_\nlr: 1\nnet: {hidden: 3}\n",
    }
    spec = drafted(tmp_path, files)
    names = {"lr", "model.hidden", "model.depth", "net.hidden"}
    assert names - spec.params.keys() == set(left_out)


@pytest.mark.parametrize("config", [None, "a: [", "- 1\n", ""])
def test_a_configuration_that_is_none_leaves_hydras_own_defaults(tmp_path: Path, config: str | None) -> None:
    files = {"train.py": HYDRA} | ({"conf/config.yaml": config} if config is not None else {})
    assert drafted(tmp_path, files).command == "python train.py hydra.run.dir=."


def test_the_command_line_of_another_modules_main_is_found(tmp_path: Path) -> None:
    files = {"pkg/__init__.py": "", "pkg/__main__.py": "from .cli import main\nmain()\n", "pkg/cli.py": CLICK}
    spec = drafted(tmp_path, files, "pkg/__main__.py")
    assert isinstance(spec.command, str)
    assert spec.command.startswith("python -m pkg --lr {lr} --epochs {epochs}")


_DEFAULT = st.one_of(
    st.integers(-1000, 1000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
)


@settings(max_examples=tries(200))
@given(
    options=st.dictionaries(
        st.from_regex(r"[a-z]{2,6}", fullmatch=True).filter(lambda name: name not in ("help", "seed")),
        st.tuples(_DEFAULT, st.sampled_from(["", "int", "float", "str", "bool", "click.INT"])),
        max_size=4,
    )
)
def test_clicks_own_parser_gives_the_same_with_the_drafted_command(
    tmp_path_factory: pytest.TempPathFactory, options: dict[str, tuple[Any, str]]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "click"
    folder.mkdir(exist_ok=True)
    lines = "".join(
        f"@click.option('--{name}', default={value!r}{f', type={kind}' if kind else ''})\n"
        for name, (value, kind) in options.items()
    )
    text = (
        f"import click\n@click.command()\n{lines}def main(**options):\n    print(sorted(options.items()))\n"
    )
    scope: dict[str, Any] = {"__name__": "script"}
    exec(text, scope)
    without = CliRunner().invoke(scope["main"], [])
    spec = drafted(folder, {"train.py": text + "if __name__ == '__main__':\n    main()\n"})
    if without.exit_code == 0:
        assert isinstance(scope["main"], click.Command)
        again = CliRunner().invoke(scope["main"], words_of(spec)[2:])
        assert again.output == without.output, spec.command


def test_an_argument_of_click_for_any_number_of_words_is_not_demanded(tmp_path: Path) -> None:
    files = {"train.py": CLICK.replace('@click.argument("data")', '@click.argument("data", nargs=-1)')}
    assert "{data}" not in drafted(tmp_path, files).command
    files = {"train.py": files["train.py"].replace("nargs=-1", "nargs=-1, required=True")}
    assert drafted(tmp_path, files).command.endswith("{data}")
