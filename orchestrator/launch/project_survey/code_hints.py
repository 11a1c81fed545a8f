"""What the code of a project says about the job that it makes: training, GPUs, downloads, notebooks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.launch.project_survey.local_modules import LocalModules
from orchestrator.launch.project_survey.python_source import dotted_name, nodes_of

_TRAINS = frozenset(
    {"torch", "lightning", "pytorch_lightning", "transformers", "accelerate", "fastai", "ignite", "timm"}
    | {"torchvision", "torchaudio", "torchmetrics", "sentence_transformers", "catalyst", "skorch", "keras"}
)
_FETCHES = {
    "load_dataset": "load_dataset(…)",
    "snapshot_download": "snapshot_download(…)",
    "hf_hub_download": "hf_hub_download(…)",
    "urlretrieve": "urlretrieve(…)",
    "urlopen": "urlopen(…)",
    "fetch_openml": "fetch_openml(…)",
    "from_pretrained": "from_pretrained(…)",
    "load_state_dict_from_url": "load_state_dict_from_url(…)",
    "download_url": "download_url(…)",
}
_FETCHING_NAMES = ("requests.get", "torch.hub.load", "wget.download", "gdown.download", "gym.make_vec")


@dataclass(frozen=True)
class CodeHints:
    trains: bool  # PyTorch, or something over it, is imported
    cuda: bool  # it names cuda
    fetches: tuple[str, ...]  # `train.py:12: download=True`: calls that may want a network
    notebook: tuple[str, ...]  # `train.py:3: get_ipython()`: what is there in a notebook only
    imports: frozenset[str]  # first names of all modules that are imported without a relative name


def hints_of(modules: LocalModules, script: str) -> CodeHints:
    """Of a script and what it imports of its project."""
    trees = modules.reached(script)
    fetches: list[str] = []
    notebook: list[str] = []
    cuda = False
    for file, tree in trees.items():
        for node in nodes_of(tree):
            cuda |= (
                isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value[:4] == "cuda"
            )
            cuda |= isinstance(node, ast.Attribute) and node.attr == "cuda"
            if isinstance(node, ast.Call):
                fetches += (f"{file}:{node.lineno}: {text}" for text in _fetched(node))
                if dotted_name(node.func) == "get_ipython":
                    notebook.append(f"{file}:{node.lineno}: get_ipython()")
    imported = {name.split(".")[0] for file in trees for name in modules.imports(file)}
    return CodeHints(
        trains=bool(imported & _TRAINS),
        cuda=cuda,
        fetches=tuple(fetches[:5]),
        notebook=tuple(notebook[:5]),
        imports=frozenset(imported - {""}),
    )


def _fetched(call: ast.Call) -> Iterator[str]:
    for item in call.keywords:
        if (
            item.arg in ("download", "pretrained")
            and isinstance(item.value, ast.Constant)
            and item.value.value is True
        ):
            yield f"{item.arg}=True"
    name = dotted_name(call.func)
    last = call.func.attr if isinstance(call.func, ast.Attribute) else name
    if last in _FETCHES:
        yield _FETCHES[last]
    elif name in _FETCHING_NAMES:
        yield f"{name}(…)"
