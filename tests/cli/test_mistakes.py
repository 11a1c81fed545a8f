"""Names that no file can have, moments before all time, files of something else: told in a line, code 2."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.programs import ran
from support.services import PostgresServer

LONG = "x" * 5000
TAKE_A_PATH = (
    *(("submit",), ("build",), ("lock",), ("init",), ("origin",), ("import",), ("data", "add")),
    *(("data", "get", "x"), ("outputs", "aaaa", "--to"), ("export", "aaaa"), ("ledger", "export")),
)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ledger", "sign", "--to", "{folder}/noise"), "tree head"),
        (("ledger", "export", "/proc/bar"), "cannot be written"),
        (("ledger", "export", "{folder}/no/x"), "there is no folder {folder}/no for x"),
        (("ledger", "export", "{folder}/noise/x"), "there is no folder"),
        (("ledger", "sign", "--to", "{folder}/no/x"), "mkdir -p {folder}/no"),
        (("attestation", "create", "aaaa", "--to", "{folder}/no/x"), "mkdir -p {folder}/no"),
        (("export", "aaaa", "{folder}/no/x"), "mkdir -p {folder}/no"),
        (("export", "aaaa", "{folder}/no/x", "--format", "ro-crate"), "mkdir -p {folder}/no"),
        (("image", "sbom", "aaaa", "--to", "{folder}/no/x"), "mkdir -p {folder}/no"),
        (("outputs", "aaaa", "--to", "{folder}/no/x"), "mkdir -p {folder}/no"),
        (("audit", "--since", "99999999999d"), "or an ISO date"),
        (("audit", "--key", "nofile"), "neither a file nor a public key"),
        (("audit", "--key", f"{LONG}+0"), "no public key"),
        *(((*words, ""), "an empty path; a variable in it may be unset") for words in TAKE_A_PATH),
        (("build", "x", "--input", "data="), "--input data: an empty path"),
        (
            ("submit", "x", "--input", "data=~nobody-here/x"),
            "--input data: ~nobody-here/x: there is no such user",
        ),
        (("build", "{folder}/job.yaml", "--input", "data=https://a.example/b"), "is not on this machine"),
        (("rerun", "aaaa", "--input", "data= "), "--input data: an empty path"),
        (("export", "aaaa", "x", "--input", "data=~nobody-here"), "~nobody-here: there is no such user"),
        (("export", "aaaa", "~nobody-here/x"), "~nobody-here/x: there is no such user"),
        (("import", "~nobody-here/x"), "~nobody-here/x: there is no such user"),
    ],
)
def test_told_in_a_line(
    reprise: Callable[..., Any], home: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 8)
    (tmp_path / "job.yaml").write_text("name: x\ncommand: x\ninputs: {data: noise}\n")
    ran = reprise(*(word.replace("{folder}", str(tmp_path)) for word in words))
    assert (ran.code, said.replace("{folder}", str(tmp_path)) in ran.err) == (2, True), ran.err[-300:]
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("name", ["REPRISE_HOME", "REPRISE_STORE", "REPRISE_IMAGES", "RAY_AUTH_TOKEN_PATH"])
@pytest.mark.parametrize(
    ("folder", "why"),
    [("~nobody-here/x", "there is no such user"), (f"/{'x' * 300}/y", "File name too long")],
    ids=["nobody's", "too long"],
)
def test_a_variable_that_names_no_folder_is_named(
    reprise: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, name: str, folder: str, why: str
) -> None:
    monkeypatch.setenv(name, folder)
    ran = reprise("history")
    assert (ran.code, f"{name}: {folder[:20]}" in ran.err, why in ran.err) == (2, True, True), ran.err


def test_a_current_folder_that_is_gone_is_told(
    reprise: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for words in (("export", "aaaa", "x"), ("build", "x", "--input", "data=x")):
        ran = reprise(*words)
        assert (ran.code, "the current folder is gone" in ran.err) == (5, True), (words, ran)


def test_what_does_not_answer_is_named_with_what_to_look_at(process: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    away = {"DOCKER_HOST": "unix:///nowhere/docker.sock", "REPRISE_REGISTRY": f"127.0.0.1:{port}/team"}
    ran = process("doctor", "--json", **away)
    found = {check["name"]: check for check in json.loads(ran.out)["checks"]}
    assert not found["engine"]["ok"]
    assert f"no connection to 127.0.0.1:{port}: Connection refused" in found["registry"]["detail"]
    for check in found.values():
        assert "reprise doctor" not in (check["hint"] or "")
        assert "object at" not in check["detail"]
        assert "_Connection" not in check["detail"]


@pytest.mark.server
def test_the_doctor_keeps_the_databases_password(
    process: Callable[..., Any], postgres: PostgresServer
) -> None:
    postgres.sql("CREATE DATABASE seen_by_the_doctor")
    url = postgres.url("seen_by_the_doctor").replace("reprise@", "reprise:kept-to-itself@")
    ran = process("doctor", "--json", REPRISE_DATABASE_URL=url)
    (found,) = (check for check in json.loads(ran.out)["checks"] if check["name"] == "database")
    said = f"postgresql://127.0.0.1:{postgres.port}/seen_by_the_doctor"
    assert (found["ok"], said in found["detail"]) == (True, True)
    assert "kept-to-itself" not in ran.out + ran.err


@pytest.mark.parametrize("words", ["history", "history --json", "--help"])
def test_a_full_disk_under_the_output_is_no_crash(home: Path, words: str) -> None:
    command = f'"$0" -m orchestrator.cli {words} > /dev/full'
    done = ran("/bin/sh", "-c", command, sys.executable, code=5, env=os.environ | {"REPRISE_HOME": str(home)})
    assert "no space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(home.glob("crash-*")) == []


def test_without_standard_input_it_cannot_ask(home: Path, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print(1)\n")
    command = f'"$0" -m orchestrator.cli init {tmp_path} <&-'
    done = ran("/bin/sh", "-c", command, sys.executable, code=2, env=os.environ | {"REPRISE_HOME": str(home)})
    assert "no terminal to ask on" in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_without_standard_output_or_error_it_does_its_work(home: Path, closed: str) -> None:
    command = f'"$0" -m orchestrator.cli history {closed}'
    done = ran("/bin/sh", "-c", command, sys.executable, env=os.environ | {"REPRISE_HOME": str(home)})
    assert "Traceback" not in done.stdout + done.stderr
