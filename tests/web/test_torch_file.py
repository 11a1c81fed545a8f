"""Files that PyTorch itself wrote: what is said of their tensors is what is in them."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
import torch

from orchestrator.web.previews.bounded_zip import opened_zip
from orchestrator.web.previews.torch_file import SavedFile, SavedTensor, read_torch_file


class Config:
    def __init__(self) -> None:
        self.rate = 0.1
        self.mean = torch.zeros(5)


def saved(value: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def read(data: bytes, most: int = 500) -> SavedFile:
    with opened_zip(io.BytesIO(data)) as archive:
        return read_torch_file(archive, most)


def network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


def of_state(module: torch.nn.Module) -> list[SavedTensor]:
    return [
        SavedTensor(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        for name, tensor in module.state_dict().items()
    ]


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_the_state_of_a_module_is_what_torch_says(protocol: int) -> None:
    module = network()
    found = read(saved(module.state_dict(), pickle_protocol=protocol))
    assert found == (of_state(module), False, [])


def test_a_checkpoint_with_more_than_tensors() -> None:
    module = network()
    moments = {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(4, 3)}}
    groups = [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0, 1]}]
    optimizer = {"state": moments, "param_groups": groups}
    data = saved({"model": module.state_dict(), "opt": optimizer, "epoch": 3, "list": [torch.ones(1)]})
    found = read(data)
    assert [one.name for one in found.tensors][:7] == [f"model.{one.name}" for one in of_state(module)]
    assert found.tensors[7:] == [
        SavedTensor("opt.state.0.step", "float32", ()),
        SavedTensor("opt.state.0.exp_avg", "float32", (4, 3)),
        SavedTensor("list.0", "float32", (1,)),
    ]
    assert (found.cut, found.classes) == (False, [])
    assert read(data, 3) == (found.tensors[:3], True, [])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TorchScript
def test_a_whole_module_and_torchscript_are_objects_whose_tensors_are_listed() -> None:
    module = network()
    found = read(saved(module))
    assert found.tensors == of_state(module)
    assert found.classes[0] == "torch.nn.modules.container.Sequential"
    found = read(saved({"config": Config()}))
    assert found.tensors == [SavedTensor("config.mean", "float32", (5,))]
    assert found.classes == [f"{Config.__module__}.Config"]
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(3, 4), torch.ones(2, 3)), stream)
    assert {one.shape for one in read(stream.getvalue()).tensors} == {(4, 3), (4,)}


@pytest.mark.filterwarnings("ignore")  # of what PyTorch will take away
def test_tensors_of_every_kind() -> None:
    ones = torch.ones(2, 3)
    kinds = {
        "view": ones.t()[1:],
        "spread": torch.ones(1).expand(1000),
        "none": torch.empty(0, 7),
        "one": torch.tensor(2),
        "parameter": torch.nn.Parameter(ones),
        "bfloat": ones.bfloat16(),
        "unsigned": ones.to(torch.uint16),
        "eight": ones.to(torch.float8_e4m3fn),
        "complex": ones.to(torch.complex64).conj(),
        "true": ones.bool(),
        "sparse": ones.to_sparse(),
        "rows": ones.to_sparse_csr(),
        "meta": torch.empty(1 << 40, device="meta"),
        "quantized": torch.quantize_per_tensor(ones, 0.1, 0, torch.qint8),
    }
    found = {one.name: one for one in read(saved(kinds)).tensors}
    assert {name: one.shape for name, one in found.items()} == {
        name: tuple(tensor.shape) for name, tensor in kinds.items()
    }
    for name, tensor in kinds.items():
        assert found[name].dtype.split()[0] == str(tensor.dtype).removeprefix("torch.")
        assert found[name].doubt == ""
    assert read(saved(ones)).tensors == [SavedTensor("the whole", "float32", (2, 3))]


def test_a_storage_that_is_not_whole_is_said() -> None:
    """As a file that somebody cut, or that says of a small storage that it is large."""
    whole = zipfile.ZipFile(io.BytesIO(saved({"w": torch.ones(4)})))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as cut:
        for member in whole.infolist():
            data = whole.read(member)
            cut.writestr(member.filename, data[:8] if member.filename.endswith("data/0") else data)
    assert read(stream.getvalue()).tensors[0].doubt == "needs 16 bytes and has 8"
