"""One large blob out of a bucket, by one request and by several: without a limit, and with one.

The server is one of this machine that reads ranges and gives each connection so many MB/s (0: as they come).
rclone's server reads no ranges, so `data.py` cannot show this. The blob's bytes are hashed as they come, and
nothing is written. `--size` in MiB.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rounds import environ, measure, report, run, timed

LIMITS = (0, 50)  # MB/s of a connection
BLOCK = 1 << 18
READ = """
import hashlib, sys
from pathlib import Path
from orchestrator.digest import Digest
from orchestrator.record.store.bucket_store import BucketStore
store, digest, size = BucketStore("s3://bucket/x", Path("spool")), Digest(sys.argv[1]), int(sys.argv[2])
hasher = hashlib.sha256()
for piece in store.stream(digest, 0, size if sys.argv[3] == "several" else None):
    hasher.update(piece)
assert hasher.hexdigest() == digest.hex
(most,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(most)
"""


def serve(file: Path, limit: int) -> None:
    """Say the port, and give the file under any name."""
    size = file.stat().st_size

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            start, end = (int(wanted[1]), min(size, int(wanted[2] or size) + 1)) if wanted else (0, size)
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(end - start))
            self.send_header("ETag", '"0"')
            self.send_header("Last-Modified", self.date_time_string(0))
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
            self.end_headers()
            self.wfile.flush()
            with file.open("rb") as source:
                began, at = time.monotonic(), start
                while at < end and self.command == "GET":
                    at += os.sendfile(self.connection.fileno(), source.fileno(), at, min(BLOCK, end - at))
                    if limit:
                        time.sleep(max(0.0, began + (at - start) / (limit * 1e6) - time.monotonic()))

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


def main() -> None:
    reader = argparse.ArgumentParser()
    reader.add_argument("--size", type=int, default=1024, help="MiB")
    reader.add_argument("--rounds", type=int, default=3)
    reader.add_argument("--serve", help=argparse.SUPPRESS)
    reader.add_argument("--limit", type=int, default=0, help=argparse.SUPPRESS)
    options = reader.parse_args()
    if options.serve:
        serve(Path(options.serve), options.limit)
        return
    memory: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="reprise-bench-", dir=Path.home()) as name:
        file = Path(name) / "blob"
        with file.open("wb") as out:
            for _ in range(options.size):
                out.write(os.urandom(1 << 20))
        with file.open("rb") as stream:
            digest = "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()
        tables = {}
        for limit in LIMITS:
            title = f"{options.size} MiB, " + (f"{limit} MB/s a connection" if limit else "no limit")
            words = [sys.executable, __file__, "--serve", str(file), "--limit", str(limit)]
            with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
                assert server.stdout is not None
                port = int(server.stdout.readline())

                def once(how: str, port: int = port) -> Callable[[], float]:
                    env = environ(AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}", AWS_ACCESS_KEY_ID="x",
                                  AWS_SECRET_ACCESS_KEY="x", AWS_REGION="x")  # fmt: skip

                    def read() -> None:
                        words = [sys.executable, "-c", READ, digest, str(file.stat().st_size), how]
                        memory[how] = max(memory.get(how, 0), int(run(words, env).split()[-1]) >> 10)

                    return lambda: timed(read)

                variants = {"one request": once("one"), "several requests": once("several")}
                tables[title] = measure(variants, options.rounds)
                server.kill()
    report("ranged_reads", tables, MiB=options.size, most_MiB_of_memory=memory)


if __name__ == "__main__":
    main()
