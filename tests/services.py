"""Real servers for tests, each with data of its own in a temporary folder, stopped by whoever started them."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass(frozen=True)
class PostgresServer:
    folder: Path
    port: int
    binaries: Path

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://reprise@127.0.0.1:{self.port}/{database}"

    def sql(self, text: str, database: str = "postgres") -> str:
        done = self.run(
            "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "reprise", "-qAt", "-c", text, database
        )
        return done.stdout.strip()

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        # The files need not outlive this machine; a killed server finds what it wrote all the same.
        options += " -c max_connections=200 -c fsync=off -c full_page_writes=off"
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
