"""Real servers for tests, each with its own data in a temporary folder, stopped by whoever started them."""

from __future__ import annotations

import json
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from orchestrator.record.record import open_record
from orchestrator.settings import load
from support.altered import flip_file


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class PostgresServer:
    folder: Path
    port: int
    binaries: Path
    migrated: bool = False

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://reprise@127.0.0.1:{self.port}/{database}"

    def new_database(self, template: str = "template1") -> str:
        """The URL of a database that no Reprise has seen."""
        name = f"t{secrets.token_hex(6)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def new_record(self) -> str:
        """The URL of an empty record: a copy, as migrating takes a second and a copy 50 ms."""
        if not self.migrated:
            self.sql("CREATE DATABASE migrated")
            with open_record(load({"REPRISE_DATABASE_URL": self.url("migrated")})):
                self.migrated = True
        return self.new_database("migrated")

    def sql(self, command: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(command.encode())

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        # The files need not outlive this machine; a killed server finds what it wrote all the same.
        options += " -c max_connections=200 -c fsync=off -c full_page_writes=off"
        # Hundreds of databases of a moment: to look after each would keep a process busy.
        options += " -c autovacuum=off -c checkpoint_timeout=1h"
        log = self.folder / "log"
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-l", str(log), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", mode, "stop")

    def run(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Not as root: the server refuses that."""
        command = [str(self.binaries / name), *words]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        # To files: a server that goes into the background would keep a pipe open.
        with tempfile.TemporaryFile("w+") as said:
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd="/", check=False
            )
            said.seek(0)
            text = said.read()
        if code.returncode != 0:
            raise AssertionError(f"{' '.join(command)} ended with {code.returncode}: {text}")
        return subprocess.CompletedProcess(command, 0, text, "")


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server without a password on a free port of this machine."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    named = shutil.which("initdb")
    if not found and not named:
        pytest.fail("no Postgres here: `apt-get install postgresql` (make test does it for you)")
    binaries = (found[-1] if found else Path(str(named))).parent
    folder = Path(tempfile.mkdtemp(prefix="reprise-postgres-"))
    try:
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(folder, account.pw_uid, account.pw_gid)
        server = PostgresServer(folder, free_port(), binaries)
        server.run("initdb", "-D", str(folder / "data"), "-U", "reprise", "-A", "trust", "-N", "-E", "UTF8")
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Request(NamedTuple):
    """One line of a registry's access log."""

    method: str
    path: str
    status: int


@dataclass
class _PortServer:
    """A program with its files in a folder. It can be stopped and started; its port stays."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def command(self) -> list[str]:
        raise NotImplementedError

    @property
    def log_file(self) -> Path:
        return self.folder / "log"

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def start(self) -> None:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(6000):  # two minutes
            assert self.process.poll() is None, self.log
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        pytest.fail(f"{type(self).__name__} does not answer: {self.log}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(120)
            self.process = None


@dataclass
class RegistryServer(_PortServer):
    """A docker-registry."""

    scheme: str = "http"

    def command(self) -> list[str]:
        return [str(shutil.which("docker-registry")), "serve", str(self.folder / "config.json")]

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def place(self, name: str) -> str:
        """As REPRISE_REGISTRY has it."""
        return f"{self.scheme}://{self.host}/{name}"

    def holds(self, repository: str, blobs: Path) -> None:
        """As if the files of this folder had been pushed, which takes 10 s for a base: links to them."""
        links = self.folder / "data/docker/registry/v2/repositories" / repository / "_layers/sha256"
        for blob in blobs.iterdir():
            stored = self.blob(blob.name)
            stored.parent.mkdir(parents=True)
            stored.symlink_to(blob)
            (links / blob.name).mkdir(parents=True)
            (links / blob.name / "link").write_text(f"sha256:{blob.name}")

    def requests(self) -> list[Request]:
        """What was asked since the beginning, from the access log."""
        lines = re.findall(r'"([A-Z]+) (\S+) HTTP/[\d.]+" (\d{3})', self.log)
        return [Request(method, path, int(status)) for method, path, status in lines]

    def blob(self, digest: str) -> Path:
        """The file that holds a blob, or a manifest."""
        digits = digest.removeprefix("sha256:")
        return self.folder / "data/docker/registry/v2/blobs/sha256" / digits[:2] / digits / "data"

    def flip(self, digest: str) -> None:
        """Change one byte in the middle of a blob's file."""
        flip_file(self.blob(digest), self.blob(digest).stat().st_size // 2)


# `htpasswd -nbB ada "open sesame"`, with fewer rounds: the registry takes bcrypt only.
REGISTRY_USER, REGISTRY_PASSWORD = "ada", "open sesame"
_HTPASSWD = "ada:$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy\n"


@contextmanager
def registry_server(
    *, auth: Mapping[str, Any] | None = None, password: bool = False, tls: tuple[Path, Path] | None = None
) -> Iterator[RegistryServer]:
    """A registry on a free port of this machine: anonymous, or with a `password`, or the `auth` of its
    configuration; `tls` is a certificate and its key.
    """
    if shutil.which("docker-registry") is None:
        pytest.fail("docker-registry is not installed (Debian's package of that name has it)")
    folder = Path(tempfile.mkdtemp(prefix="reprise-registry-"))
    server = RegistryServer(folder, free_port(), "https" if tls else "http")
    http: dict[str, Any] = {"addr": server.host, "secret": "one for all starts"}
    if tls:
        http["tls"] = {"certificate": str(tls[0]), "key": str(tls[1])}
    if password:
        (folder / "htpasswd").write_text(_HTPASSWD)
        auth = {"htpasswd": {"realm": "lab", "path": str(folder / "htpasswd")}}
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": http,
        **({"auth": auth} if auth else {}),
    }
    (folder / "config.json").write_text(json.dumps(config))
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Wire:
    """A cable to a server: counts bytes, and can be cut."""

    port: int
    up: int = 0  # bytes from client to server
    down: int = 0
    cut_up: int | None = None  # break the connection that carries this byte; once
    cut_down: int | None = None
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def place(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def carried(self, upwards: bool, size: int) -> bool:
        """Count; False where the cable is cut."""
        with self.lock:
            limit = self.cut_up if upwards else self.cut_down
            if upwards:
                self.up += size
            else:
                self.down += size
            if limit is None or (self.up if upwards else self.down) < limit:
                return True
            self.cut_up, self.cut_down = (None, self.cut_down) if upwards else (self.cut_up, None)
            return False


@contextmanager
def wire_to(server_port: int) -> Iterator[Wire]:
    """A port that leads to another one, by a cable that counts."""
    listener = socket.create_server(("127.0.0.1", 0))
    wire = Wire(listener.getsockname()[1])

    def serve() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            wire.connections += 1
            try:
                far = socket.create_connection(("127.0.0.1", server_port))
            except OSError:
                near.close()
                continue
            for source, sink, upwards in ((near, far, True), (far, near, False)):
                threading.Thread(target=_carry, args=(wire, source, sink, upwards), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield wire
    finally:
        listener.close()


def _carry(wire: Wire, source: socket.socket, sink: socket.socket, upwards: bool) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            if not wire.carried(upwards, len(data)):
                break
            sink.sendall(data)
    for one in (source, sink):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


class SecondEngine:
    """A dockerd that this test owns. Its own namespace: in ours it would take the first one's bridge away."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        self.host = f"unix://{folder}/docker.sock"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        folder = self.folder
        # A dockerd that was killed took its containerd along; where nobody reaps that, it seems to live.
        (folder / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *("unshare", "--net", "dockerd", "-H", self.host, "--pidfile", str(folder / "pid")),
                    *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
                    *("--bridge=none", "--iptables=false", "--ip6tables=false", *self.options),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_until_it_answers()

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 120
        while subprocess.run(
            ["docker", "-H", self.host, "version"], capture_output=True, check=False
        ).returncode:
            if time.monotonic() > deadline:
                pytest.fail(
                    f"the second engine does not come up:\n{(self.folder / 'log').read_text()[-2000:]}"
                )
            time.sleep(0.2)

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(120)
            self.process = None


@contextmanager
def engine_server(name: str = "second", *options: str) -> Iterator[SecondEngine]:
    """A Docker Engine with nothing in it; `options` are dockerd's."""
    # A short path: a socket's may have 108 bytes.
    folder = Path(f"/tmp/reprise-{name}-engine-{os.getpid()}")
    folder.mkdir()
    engine = SecondEngine(folder, *options)
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()
        unmount = ["umount", "--recursive", "--lazy", str(folder / "exec")]
        subprocess.run(unmount, capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class S3Server(_PortServer):
    """rclone's S3 server over a folder: objects are files there, with their key as path."""

    bucket = "bucket"

    def command(self) -> list[str]:
        words = ["serve", "s3", "--addr", f"127.0.0.1:{self.port}", "--config", os.devnull]
        words += ["--auth-key", "reprise-tests,no-secret-at-all", str(self.folder)]
        return [str(Path(sys.executable).with_name("rclone")), *words]

    @property
    def log_file(self) -> Path:
        return self.folder.with_name("log")

    def address(self, prefix: str) -> str:
        return f"s3://{self.bucket}/{prefix}"

    @property
    def environ(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "reprise-tests",
            "AWS_SECRET_ACCESS_KEY": "no-secret-at-all",
            "AWS_REGION": "us-east-1",
        }

    def path(self, key: str) -> Path:
        return self.folder / self.bucket / key

    def touched(self) -> None:
        """Called when a test changed the files: a server that goes on remembers their sizes and times."""
        self.stop()
        self.start()


@contextmanager
def s3_server(parent: Path | None = None) -> Iterator[S3Server]:
    with tempfile.TemporaryDirectory(prefix="reprise-s3-", dir=parent) as folder:
        server = S3Server(Path(folder) / "data", free_port())
        (server.folder / server.bucket).mkdir(parents=True)
        server.start()
        try:
            yield server
        finally:
            server.stop()
