"""Files that a person or a setting names: a FIFO, a device, a folder there is an error at once; no wait."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.audit.attestations.attestation_bundle import read_file
from orchestrator.audit.heads.witnesses import TreeHeads
from orchestrator.audit.keys import key_path, read_public, signing_key
from orchestrator.errors import RepriseError
from orchestrator.image.base.base_pins import list_pins, read_pins
from orchestrator.image.registry.login import find_credentials
from orchestrator.launch.executors.ray import read_token
from orchestrator.settings import load

fork = multiprocessing.get_context("fork")


def docker_config(path: Path) -> Any:
    os.environ["DOCKER_CONFIG"] = str(path.parent)
    path.rename(path.with_name("config.json"))
    return find_credentials("registry.example")


def own_key(path: Path) -> Any:
    settings = load({"REPRISE_HOME": str(path.parent)})
    key_path(settings).parent.mkdir()
    path.rename(key_path(settings))
    return signing_key(settings)


def own_pins(path: Path) -> Any:
    path.rename(path.with_name("bases.toml"))
    return list_pins(load({"REPRISE_HOME": str(path.parent)}))


READERS: dict[str, Callable[[Path], Any]] = {
    "public key": lambda path: read_public(str(path)),
    "signing key": own_key,
    "witness": lambda path: list(TreeHeads("o", ()).witness(path)),
    "attestations": read_file,
    "pins": own_pins,
    "committed pins": lambda path: read_pins(path, committed=True),
    "docker's config": docker_config,
    "ray's token": lambda path: read_token(load({"RAY_AUTH_TOKEN_PATH": str(path)})),
}


def fifo(path: Path) -> None:
    os.mkfifo(path)


def zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def large(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(1 << 40)


def told(queue: Any, read: Callable[[Path], Any], path: Path) -> None:
    try:
        queue.put(repr(read(path)))
    except RepriseError as error:
        queue.put(error)
    except BaseException as error:  # noqa: BLE001  (told to the test)
        queue.put(repr(error))


@pytest.mark.parametrize("kind", [fifo, zeros, folder, large], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_plain_file_is_told_at_once(
    tmp_path: Path, reader: str, kind: Callable[[Path], None]
) -> None:
    path = tmp_path / "named"
    kind(path)
    queue = fork.Queue()
    process = fork.Process(target=told, args=(queue, READERS[reader], path))
    process.start()
    try:
        said = queue.get(timeout=120)
    finally:
        process.kill()
        process.join()
    assert isinstance(said, RepriseError), said
    assert str(tmp_path) in said.message


def test_a_link_to_a_plain_file_may_be_named(tmp_path: Path) -> None:
    """Secrets are mounted so, and homes are kept so."""
    settings = load({"REPRISE_HOME": str(tmp_path / "home")})
    (tmp_path / "key").write_text(signing_key(settings).public.vkey)
    (tmp_path / "link").symlink_to("key")
    assert read_public(str(tmp_path / "link")) == [signing_key(settings).public]
