"""What pages of the dashboard cost over a long record, as a browser asks for them.

    python benchmarks/web_pages.py [--runs 1000000] [--rounds 20] [--home FOLDER]

The server is `reprise web`'s own, in a process of its own; each page is asked for over HTTP on this machine,
warm, and timed from the request to the last byte. `--home` is one that stays: it is filled if it is empty.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from history_rows import Filling
from rounds import environ, measure, report, timed
from scratch import REPRISE

PAIR = "params.lr < 0.01 and metrics.accuracy > 0.9"
PAGES = {
    "newest runs": "/",
    "filtered, sorted": f"/?where={quote(PAIR)}&sort=-metrics.accuracy",
    "one job, failed": "/?where=" + quote("job == 'job-03' and state == 'failed'"),
    "sorted by seconds": "/?sort=-seconds",
    "seeds taken together": "/?group=seed",
    "the live part, unchanged": "/?part=table",
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--home", type=Path)
    asked = parser.parse_args()
    with ExitStack() as stack:
        home = asked.home or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "reprise.db").exists():
            filling = Filling(f"sqlite:///{home / 'reprise.db'}")
            filling.fill(asked.runs, 0, lambda said: print(said, file=sys.stderr))
        command = [REPRISE, "web", "--port", "0", "--json"]
        where = environ(REPRISE_HOME=str(home))
        server = subprocess.Popen(command, env=where, stdout=subprocess.PIPE, text=True)
        stack.callback(server.wait, 20)
        stack.callback(server.terminate)
        assert server.stdout is not None
        address = urlsplit(json.loads(server.stdout.readline())["read"])
        token = address.query.removeprefix("token=")

        def page(path: str) -> Callable[[], object]:
            connection = http.client.HTTPConnection(
                str(address.hostname), int(address.port or 0), timeout=120
            )
            headers = {"Authorization": f"Bearer {token}", "HX-Request": "true"}

            def ask() -> object:
                connection.request("GET", path, headers=headers)
                answer = connection.getresponse()
                if answer.status not in (200, 304):
                    raise SystemExit(f"{path}: {answer.status} {answer.read()[:500]!r}")
                if "part=" in path:
                    headers["If-None-Match"] = str(answer.headers["ETag"])
                return answer.read()

            ask()
            return ask

        asks = {name: page(path) for name, path in PAGES.items()}
        variants = {name: (lambda ask=ask: timed(ask)) for name, ask in asks.items()}
        title = f"Pages of the dashboard over {asked.runs:,} runs"
        report("web_pages", {title: measure(variants, asked.rounds)}, runs=asked.runs)


if __name__ == "__main__":
    main()
