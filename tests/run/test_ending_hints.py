"""What is said of a job's last words, which are a stranger's."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import tries

from orchestrator.run.collect.ending_hints import LAST_LINE, LOG_END, NETWORK, hint_of, last_line, log_end
from orchestrator.run.log_spool import LogSpool


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("cv2", "opencv-python-headless"),
        ("sklearn.linear_model", "scikit-learn"),
        ("PIL", "pillow"),
        ("google.protobuf.message", "protobuf"),
        ("transformers", "transformers"),
        ("pytorch_lightning", "pytorch-lightning"),
    ],
)
def test_a_missing_module_names_its_package_and_the_commands(module: str, package: str) -> None:
    hint = hint_of(f"ModuleNotFoundError: No module named '{module}'", network=False)
    assert hint is not None
    assert f"no module {module};" in hint
    assert f"echo {package} >> requirements.in; reprise lock; reprise submit" in hint


@pytest.mark.parametrize(
    "error",
    [
        "ModuleNotFoundError: No module named 'a.b'; 'a' is not a package",
        "ModuleNotFoundError: No module named '$(id)'",
        "ModuleNotFoundError: No module named '..'",
        "ModuleNotFoundError: No module named 'é'",
        "ImportError: cannot import name 'x' from 'y'",
        "ValueError: no",
    ],
)
def test_of_other_errors_nothing_is_said(error: str) -> None:
    assert hint_of(error, network=False) is None


@pytest.mark.parametrize(
    "text",
    [
        "socket.gaierror: [Errno -3] Temporary failure in name resolution",
        "curl: (6) Could not resolve host: example",
        "wget: unable to resolve host address 'example'",
        "ConnectionError: HTTPSConnectionPool(host='x', port=443): Max retries exceeded with url: /",
        "huggingface_hub.errors.LocalEntryNotFoundError: An error happened while trying to locate the file",
        "RuntimeError: <urlopen error [Errno 101] Network is unreachable>",
    ],
)
def test_a_job_that_reaches_for_the_network(text: str) -> None:
    assert hint_of(text, network=False) == NETWORK
    assert hint_of(text, network=True) is None


@given(st.text(max_size=200), st.booleans())
@settings(max_examples=tries(800))
def test_a_hint_has_no_text_of_a_stranger(text: str, network: bool) -> None:
    hint = hint_of(f"ModuleNotFoundError: No module named '{text}'", network=network)
    assert hint is None or hint.isascii() or hint.replace("…", "").isascii()
    assert hint is None or hint.isprintable()
    assert hint is None or not set("$`&|<()\\\"'") & set(hint.replace(">>", ""))


def test_the_end_of_a_log(tmp_path: Path) -> None:
    assert log_end(tmp_path / "absent") == ""
    spool = LogSpool(tmp_path / "log")
    spool.add(1, b"a" * 100_000)
    spool.add(2, b"\xffcurl: (6) Could not resolve host: x\n")
    spool.close(done=True)
    end = log_end(tmp_path / "log")
    assert len(end) <= LOG_END
    assert hint_of(end, network=False) == NETWORK


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("Traceback\n  File\nValueError: no\n", "ValueError: no"),
        ("one\n\x1b[31mred\x1b[0m  two\n \n\x1b[0m\n", "red two"),
        (" 10%\r 50%\r100%\r\n", "100%"),
        ("\x1b]0;title\x07\x00\u202e\n", None),
        ("", None),
        ("x" * 1000, "x" * (LAST_LINE - 1) + "…"),
    ],
)
def test_the_last_line_of_a_log_has_words_and_nothing_else(log: str, line: str | None) -> None:
    assert last_line(log) == line


@given(st.text(max_size=60))
def test_the_last_line_is_one_plain_line(log: str) -> None:
    found = last_line(log)
    assert found is None or (found.isprintable() and 0 < len(found) <= LAST_LINE)
