"""Outputs of a run as an input: the same digest as the same files on a disk have."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.records import digest_of, kept

from orchestrator.errors import UsageError
from orchestrator.record.lineage import output_as_input as module
from orchestrator.record.lineage.output_as_input import output_as_input
from orchestrator.run.attempt_model import Output, OutputStatus
from orchestrator.spec import inputs
from orchestrator.spec.inputs import read_input

RUN = "0123456789abcdef"


def link(path: str, target: str) -> Output:
    return Output(path=path, status=OutputStatus.REJECTED, reason="symlink", target=target)


FILES = {"model.pt": "weights", "ckpt/1/a.pt": "a", "ckpt/1/b.pt": "b", "ckpt/z é.txt": "", "ckpt-old": "o"}
OUTPUTS = tuple(kept(path, text) for path, text in FILES.items())
LINKS = (link("last", "ckpt/1"), link("ckpt/newest", "1"), link("ckpt/best.pt", "../last/a.pt"))


def on_disk(folder: Path) -> Path:
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def test_a_file_is_its_digest(tmp_path: Path) -> None:
    data, entries = output_as_input(RUN, OUTPUTS, "model.pt")
    assert data == read_input(on_disk(tmp_path) / "model.pt") and entries == []


@pytest.mark.parametrize("path", ["ckpt", "ckpt/1", ""])
def test_a_folder_is_what_hashing_it_gives(tmp_path: Path, path: str) -> None:
    data, entries = output_as_input(RUN, OUTPUTS, path)
    assert data == read_input(on_disk(tmp_path) / path)
    assert [name for name, _, _ in entries] == [file.path for file in data.files]


@pytest.mark.parametrize("path", ["ckpt", "last", "ckpt/newest", ""])
def test_links_that_stay_inside_count_as_what_they_lead_to(tmp_path: Path, path: str) -> None:
    data, _ = output_as_input(RUN, OUTPUTS + LINKS, path)
    on_disk(tmp_path)
    for item in LINKS:
        (tmp_path / item.path).symlink_to(str(item.target))
    if path == "ckpt":  # as an input of its own it may not have the link that leads out of it
        best = tmp_path / "ckpt" / "best.pt"
        text = best.read_text()
        best.unlink()
        best.write_text(text)
    assert data.digest == read_input(tmp_path / path).digest


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (link("ckpt/x", "/etc/passwd"), "leads out of the outputs"),
        (link("ckpt/x", "../../x"), "leads out of the outputs"),
        (link("ckpt/x", "nowhere"), "leads out of the outputs"),
        (link("ckpt/x", "x"), "leads out of the outputs"),
        (link("ckpt/x", "."), "leads back"),
        (Output(path="ckpt/fifo", status=OutputStatus.REJECTED, reason="fifo"), "fifo"),
    ],
)
def test_what_no_input_can_hold_is_named(more: Output, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        output_as_input(RUN, (*OUTPUTS, more), "ckpt")
    assert more.path in caught.value.message
    assert output_as_input(RUN, (*OUTPUTS, more), "ckpt/1")[0].count == 2


def test_links_that_multiply_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 1000)
    doors = [link(f"{n}/{side}", f"../{n + 1}") for n in range(30) for side in "ab"]
    with pytest.raises(UsageError, match="more than"):
        output_as_input(RUN, (*doors, kept("30/f", "x")), "0")


def test_an_absent_output_says_what_is_there() -> None:
    with pytest.raises(UsageError, match=r"has no output model\.pth") as caught:
        output_as_input(RUN, OUTPUTS, "model.pth")
    assert "did you mean model.pt?" in str(caught.value.hint) and "ckpt/1/a.pt" in str(caught.value.hint)
    for outputs, path, said in (
        ((), "x", "left no outputs"),
        ((), "", "left no outputs"),
        (OUTPUTS, "ckpt/2", "has no output"),
        (OUTPUTS, "model.pt/x", "has no output"),
        ((Output(path="p", status=OutputStatus.REJECTED, reason="socket"),), "p", "was not kept: socket"),
    ):
        with pytest.raises(UsageError, match=said):
            output_as_input(RUN, outputs, path)


def test_a_long_list_is_not_kept_with_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "LISTED", 1)
    data, entries = output_as_input(RUN, OUTPUTS, "ckpt/1")
    assert (data.files, data.count, len(entries)) == ((), 2, 2)
    assert entries[0] == ("a.pt", digest_of("a").hex, 1)
