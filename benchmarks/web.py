"""What the dashboard costs: its pages over a long record, and beside MLflow's server on the same runs.

    python benchmarks/web.py [--runs 1000000] [--points 1000000] [--compared 100] [--streams 50] [--rounds 20]
    python -m venv /tmp/mlflow && /tmp/mlflow/bin/pip install mlflow
    python benchmarks/web.py --mlflow-python /tmp/mlflow/bin/python ...

Both servers run in processes of their own, on SQLite, warm, and are asked over HTTP in turn, from the
request to the last byte. Ours answers with whole pages and reduced charts. MLflow answers with the JSON of
`search_runs` and `get-history`, and with the reduced points that its own page asks for
(`get-history-bulk-interval`); what a browser draws of either is not in it. Live: from a value that is written
until every stream, or every one of as many readers of `get-history`, has it. `--home` is a home of ours that
stays, with MLflow's database in its folder `mlflow`: each is filled if it is empty.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from history_mlflow import fill_mlflow, uuid_of
from history_rows import POINT_COLUMNS, Filling, pages, run_id
from rounds import environ, measure, report, timed
from scratch import REPRISE
from support.running_run import RunningJob, running_job

from orchestrator.launch.session import Session
from orchestrator.settings import load

PAIR = "params.lr < 0.01 and metrics.accuracy > 0.9"
PAGES = {
    "newest runs": "/",
    "filtered, sorted": f"/?where={quote(PAIR)}&sort=-metrics.accuracy",
    "one job, failed": "/?where=" + quote("job == 'job-03' and state == 'failed'"),
    "sorted by seconds": "/?sort=-seconds",
    "seeds taken together": "/?group=seed",
    "the live part, unchanged": "/?part=table",
}
# Parameters of MLflow are texts and compare as texts: this filter is the same for both.
BOTH = "/?sort=-metrics.accuracy&where=" + quote("metrics.accuracy > 0.9 and params.optimizer == 'adam'")
AT_ONCE = 50  # runs on a page of ours
EACH = 1_000  # points of each of the runs that are compared
WIDE = 600  # pixels of a chart
DRAWN = 320  # points for which MLflow's own page asks
API = "/api/2.0/mlflow"
INTERVAL = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"


class Client:
    """One connection that stays, and is made anew where the server closed it."""

    def __init__(self, port: int, **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        self.headers = headers

    def ask(self, path: str, asked: Any = None) -> bytes:
        """GET, or POST of JSON where something is asked."""
        body = None if asked is None else json.dumps(asked)
        more = {"Content-Type": "application/json"} if body else {}
        method = "POST" if body else "GET"
        try:
            self._connection.request(method, path, body, {**self.headers, **more})
            answer = self._connection.getresponse()
        except ConnectionError:  # closed by the server, as it was idle for some seconds
            self._connection.close()
            self._connection.request(method, path, body, {**self.headers, **more})
            answer = self._connection.getresponse()
        data = answer.read()
        if answer.status not in (200, 304):
            raise RuntimeError(f"{path}: {answer.status} {data[:500]!r}")
        if "part=" in path:
            self.headers["If-None-Match"] = str(answer.headers["ETag"])
        return data

    def lines(self, path: str) -> Iterator[bytes]:
        self._connection.request("GET", path, headers=self.headers)
        yield from self._connection.getresponse()


@contextmanager
def ours(home: Path) -> Iterator[Callable[[], Client]]:
    """`reprise web` of this home; each call is another connection to it."""
    command = [REPRISE, "web", "--port", "0", "--json"]
    where = environ(REPRISE_HOME=str(home))
    with ended(subprocess.Popen(command, env=where, stdout=subprocess.PIPE, text=True)) as server:
        assert server.stdout is not None
        address = urlsplit(json.loads(server.stdout.readline())["read"])
        token = {"Authorization": f"Bearer {address.query.removeprefix('token=')}"}
        yield lambda: Client(int(address.port or 0), **token, **{"HX-Request": "true"})


@contextmanager
def mlflow(python: str, folder: Path) -> Iterator[Callable[[], Client]]:
    """MLflow's server with one worker, as ours has one process."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    words = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--host", "127.0.0.1"]
    words += ["--port", str(port), "--workers", "1", "--artifacts-destination", str(folder / "artifacts")]
    said = (folder / "mlflow.log").open("w")
    env = environ(MLFLOW_DISABLE_TELEMETRY="true")
    command = [python, "-m", "mlflow", "server", *words]
    with said, ended(subprocess.Popen(command, env=env, stdout=said, stderr=said, cwd=folder)) as server:
        until = time.monotonic() + 600
        while True:
            try:
                Client(port).ask("/health")
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((folder / "mlflow.log").read_text()[-2000:]) from None
                time.sleep(0.5)
        yield lambda: Client(port)


@contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[subprocess.Popen[Any]]:
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def measured_runs(runs: int, count: int) -> list[int]:
    """The newest that have metrics."""
    found: list[int] = []
    for page in pages(runs):
        found += sorted({row[0] for row in page["metric"] if row[1] == "loss"})
    return found[-count:]


def lengths(chosen: Sequence[int], points: int) -> dict[int, int]:
    """Points of the loss, by run: many for the first, and EACH for those that are compared."""
    return {number: points if place == 0 else EACH for place, number in enumerate(chosen)}


def add_points(path: Path, table: str, columns: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as connection:
        connection.execute("BEGIN")
        marks = ", ".join("?" * len(columns))
        connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)
        connection.execute("COMMIT")


def our_points(sizes: dict[int, int]) -> Iterator[tuple[Any, ...]]:
    for number, size in sizes.items():
        for step in range(size):
            yield (number, step, "loss", step, repr(1 / (step + 2)), 1 / (step + 2))


def their_points(sizes: dict[int, int]) -> Iterator[tuple[Any, ...]]:
    for number, size in sizes.items():
        for step in range(size):
            yield ("loss", 1 / (step + 2), 1_800_000_000_000 + step, uuid_of(number), step, False)


def fill_once(path: Path, runs: int, sizes: dict[int, int]) -> None:
    """MLflow's rows into the database that its server made."""
    with closing(sqlite3.connect(path)) as connection:
        if connection.execute("SELECT EXISTS (SELECT 1 FROM runs)").fetchone()[0]:
            return
    fill_mlflow(str(path), runs)
    columns = ("key", "value", "timestamp", "run_uuid", "step", "is_nan")
    add_points(path, "metrics", columns, their_points(sizes))


def page_tables(client: Callable[[], Client], rounds: int) -> dict[str, list[float]]:
    def once(path: str) -> Callable[[], float]:
        asking = client()
        asking.ask(path)
        return lambda: timed(lambda: asking.ask(path))

    return measure({name: once(path) for name, path in PAGES.items()}, rounds)


def beside(
    us: Client, them: Client | None, chosen: Sequence[int], points: int
) -> dict[str, dict[str, Callable[[], Any]]]:
    """By question: what each side is asked. Ours comes first: ratios are over it."""
    ids, uuids = [run_id(number) for number in chosen], [uuid_of(number) for number in chosen]
    series = f"/series?runs={{}}&metric=loss&width={WIDE}"
    every = ",".join(ids)
    asked = {
        "runs": {"reprise": lambda: us.ask("/")},
        "runs, filtered and sorted": {"reprise": lambda: us.ask(BOTH)},
        "run": {"reprise": lambda: (us.ask(f"/runs/{ids[0]}"), us.ask(series.format(ids[0])))},
        "compare": {"reprise": lambda: (us.ask(f"/compare?runs={every}"), us.ask(series.format(every)))},
    }
    if them is None:
        return asked
    newest = {"experiment_ids": ["0"], "max_results": AT_ONCE, "order_by": ["attributes.start_time DESC"]}
    wanted = "metrics.accuracy > 0.9 and params.optimizer = 'adam'"
    pair = newest | {"filter": wanted, "order_by": ["metrics.accuracy DESC"]}

    def history(uuid: str) -> bytes:
        return them.ask(f"{API}/metrics/get-history?{urlencode({'run_id': uuid, 'metric_key': 'loss'})}")

    def interval(some: Sequence[str]) -> bytes:
        query = [*(("run_ids", uuid) for uuid in some), ("metric_key", "loss"), ("max_results", str(DRAWN))]
        return them.ask(f"{INTERVAL}?{urlencode(query)}")

    def facts(some: Sequence[str]) -> None:
        for uuid in some:
            them.ask(f"{API}/runs/get?run_id={uuid}")

    # A filling that lost something would be answered fast.
    known = len(json.loads(history(uuids[0]))["metrics"])
    theirs = [
        run["info"]["run_id"][:16] for run in json.loads(them.ask(f"{API}/runs/search", newest))["runs"]
    ]
    page = us.ask("/").decode()
    same = sum(run in page for run in theirs)
    if known < points or same < 0.9 * AT_ONCE:  # we leave out the few that are put away
        raise RuntimeError(f"not the same: {known:,} of {points:,} points, {same} of {AT_ONCE} runs")
    asked["runs"]["mlflow"] = lambda: them.ask(f"{API}/runs/search", newest)
    asked["runs, filtered and sorted"]["mlflow"] = lambda: them.ask(f"{API}/runs/search", pair)
    for name, some in (("run", uuids[:1]), ("compare", uuids)):
        asked[name]["mlflow, get-history"] = lambda some=some: (facts(some), [*map(history, some)])
        asked[name]["mlflow, reduced"] = lambda some=some: (facts(some), interval(some))
    return asked


class Streams:
    """As many open tabs as asked for; each says when it was given a line."""

    def __init__(self, client: Callable[[], Client], run: str, count: int) -> None:
        self._seen: dict[int, bytes] = {}
        self._count, self._came = count, threading.Condition()
        for number in range(count):
            threading.Thread(target=self._follow, args=(client(), run, number), daemon=True).start()

    def _follow(self, client: Client, run: str, number: int) -> None:
        for line in client.lines(f"/runs/{run}/events"):
            if line.startswith(b"data:"):
                with self._came:
                    self._seen[number] = self._seen.get(number, b"")[-4096:] + line
                    self._came.notify_all()

    def wait(self, text: str) -> None:
        wanted = text.encode()

        def all_have() -> bool:
            return sum(wanted in seen for seen in self._seen.values()) == self._count

        with self._came:
            if not self._came.wait_for(all_have, 120):
                raise RuntimeError(f"{text!r} did not come to {self._count} streams")


def live_variants(
    job: RunningJob, streams: Streams, them: Callable[[], Client] | None, uuid: str, count: int
) -> dict[str, Callable[[], float]]:
    numbers = iter(range(1, 1_000_000))

    def line_comes() -> None:
        text = f"line-{next(numbers)}-ends"
        job.prints(f"{text}\n")
        streams.wait(text)

    found: dict[str, Callable[[], float]] = {"reprise": lambda: timed(line_comes)}
    if them is None:
        return found
    readers = [them() for _ in range(count)]
    writer, pool = them(), ThreadPoolExecutor(count)
    query = urlencode({"run_id": uuid, "metric_key": "live"})

    def value_is_read() -> None:
        number = next(numbers)
        point = {"run_id": uuid, "key": "live", "value": number, "step": number, "timestamp": number}
        writer.ask(f"{API}/runs/log-metric", point)
        for data in pool.map(lambda reader: reader.ask(f"{API}/metrics/get-history?{query}"), readers):
            if number not in {metric["value"] for metric in json.loads(data)["metrics"]}:
                raise RuntimeError("a value that was logged is not read")

    return found | {"mlflow": lambda: timed(value_is_read)}


def measure_all(asked: argparse.Namespace, home: Path, folder: Path, stack: ExitStack) -> dict[str, Any]:
    chosen = measured_runs(asked.runs, asked.compared)
    sizes = lengths(chosen, asked.points)
    if not (home / "reprise.db").exists():
        Filling(f"sqlite:///{home / 'reprise.db'}").fill(
            asked.runs, 0, lambda said: print(said, file=sys.stderr)
        )
        add_points(home / "reprise.db", "metric_point", POINT_COLUMNS, our_points(sizes))
    them = stack.enter_context(mlflow(asked.mlflow_python, folder)) if asked.mlflow_python else None
    if them is not None:
        fill_once(folder / "mlflow.db", asked.runs, sizes)
    us = stack.enter_context(ours(home))
    tables: dict[str, Any] = {f"Pages, {asked.runs:,} runs": page_tables(us, asked.rounds)}
    names = {
        "runs": f"The newest {AT_ONCE} of {asked.runs:,} runs",
        "runs, filtered and sorted": f"{AT_ONCE} of {asked.runs:,} runs, filtered and sorted",
        "run": f"A run with {asked.points:,} points",
        "compare": f"{len(chosen)} runs compared, {EACH:,} points each, one with {asked.points:,}",
    }
    for name, sides in beside(us(), them and them(), chosen, asked.points).items():
        variants = {side: (lambda ask=ask: timed(ask)) for side, ask in sides.items()}
        tables[names[name]] = measure(variants, asked.rounds)
    settings = load({"REPRISE_HOME": str(home)})
    session = stack.enter_context(Session(settings))
    job = stack.enter_context(running_job(settings, session.record))
    streams = Streams(us, job.run, asked.streams)
    variants = live_variants(job, streams, them, uuid_of(chosen[-1]), asked.streams)
    tables[f"A value until {asked.streams} have it"] = measure(variants, asked.rounds)
    return tables


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--points", type=int, default=1_000_000, help="of the loss of one run")
    parser.add_argument("--compared", type=int, default=100)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--mlflow-python", metavar="PATH", help="of a venv that has MLflow")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reprise-web-") as name, ExitStack() as stack:
        folder = Path(name)
        home = asked.home or folder / "home"
        of_mlflow = home / "mlflow"
        of_mlflow.mkdir(parents=True, exist_ok=True)
        tables = measure_all(asked, home, of_mlflow, stack)
        sizes = {name: getattr(asked, name) for name in ("runs", "points", "compared", "streams")}
        report("web", tables, **sizes)


if __name__ == "__main__":
    main()
