"""Whatever a job writes where we read, a result is committed, on both databases."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from support.engine_facts import DOCKER
from support.event_records import event_record
from support.examples import tries
from support.made_up_attempt import MemorySink, attempt_plan, container_state
from support.records import new_run

from orchestrator.record.record import Record
from orchestrator.record.run_record import NewRun, RunRecord
from orchestrator.run.attempt_model import Result, State
from orchestrator.run.collect.collect_result import collect
from orchestrator.run.follow import Ended
from orchestrator.settings import Settings


class Silent:
    """An engine whose container wrote nothing: no log is the matter here."""

    base_url, api_version, status_code = "", "", 200

    @property
    def api(self) -> Silent:
        return self

    def get(self, url: str, **asked: Any) -> Silent:
        return self

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def iter_content(self, size: int | None) -> Iterator[bytes]:
        return iter(())


def collected(folder: Path, settings: Settings, new: NewRun, files: dict[str, bytes]) -> Result:
    """What is made of files in a workspace (`w/NAME`) and a report folder (`r/NAME`)."""
    for name in ("w", "r"):
        (folder / name).mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    plan = attempt_plan(folder / "w", folder / "r", run=new.id, file_size=1 << 30)
    ended, sink = Ended(container=container_state()), MemorySink()
    return collect(Silent(), DOCKER, settings, plan, new.program, (), ended, sink)  # type: ignore[arg-type]


@pytest.fixture
def committed(record: Record, settings: Settings, tmp_path: Path) -> Callable[[dict[str, bytes]], RunRecord]:
    def commit(files: dict[str, bytes]) -> RunRecord:
        new = new_run()
        run, _ = record.submit(new)
        attempt = record.claim(run, "box", "boot", "pid 1")
        result = collected(tmp_path / secrets.token_hex(6), settings, new, files)
        assert result.state is State.SUCCEEDED
        record.finish(run, attempt, result)
        found = record.run_with_points(run)
        assert found.series == result.series
        assert found.metrics_incomplete == result.metrics_incomplete
        return found

    return commit


HUGE = "1" + "0" * 400


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("w/metrics.json", '{"loss": BIG}'),
        ("w/metrics.json", '{"a":NaN,"c":BIG,"d":{"e":true},"a":2,"\\u202ex":1,"f":1e999,"\\ud800":1}'),
        ("w/metrics.jsonl", '{"step": 9223372036854775808, "loss": -BIG}\n{"step": 1, "loss": 2}\n'),
        ("r/refused-1.json", '{"op":"\\ud800"}'),
        ("r/error-1.json", '{"error":"\\ud800"}'),
        ("r/error-1.json", '{"error": BIG}'),
        (
            "r/start-1.json",
            '{"argv": ["\\udc80", BIG], "flags": {"\\ud800": BIG, "n\\u0000": NaN}}',
        ),
        (
            "r/entry.json",
            '{"packages": {"\\ud800": BIG, "x\\u0000": "\\u0000"}, "source": {"a": BIG}}',
        ),
        ("r/trace-777.jsonl", '{"trace":1,"began":1}\n{"e":"loss","s":1,"x":[BIG]}\n{"end":true}\n'),
        ("r/trace-777.jsonl", '{"trace":1,"began":1}\n{"end":true,"steps":9223372036854775808}\n'),
        ("r/trace-777.jsonl", '{"trace":1,"rank":"\\ud800"}\n'),
        ("r/trace-777.jsonl", '{"trace":1}\n{"broken":"\\ud800\\u0000"}\n'),
    ],
)
def test_a_file_of_a_job_costs_at_most_that_file(
    committed: Callable[[dict[str, bytes]], RunRecord], name: str, text: str
) -> None:
    found = committed({name: text.replace("BIG", HUGE).encode(), "w/out.txt": b"hello\n"})
    assert "out.txt" in [output.path for output in found.outputs]


SCALARS = st.sampled_from(
    [
        *("0", "1", "-1", "true", "null", "NaN", "-Infinity", "1e999", "1e-999", "-0.0", HUGE, f"-{HUGE}"),
        *(str((1 << 63) + n) for n in (-1, 0, 1)), str(-(1 << 63) - 1), "9" * 4299, "9" * 5000,
        *('"\\ud800"', '"\\u0000"', '"\\udcff"', '"99999-12-31T00:00:00Z"', '"0000-00-00"', '"\U0001f600"'),
        '"' + "x" * 5000 + '"', "[" * 3000, "]", "{", '"',
    ]
)  # fmt: skip
KEYS = st.sampled_from(
    [
        *("step", "epoch", "loss", "x", "s", "e", "trace", "rank", "world", "began", "steps", "end", "pid"),
        *("broken", "packages", "source", "argv", "flags", "op", "error", "a.b", "trace.loss"),
        *("torch.version", "", "\\ud800", "\\u0000", "\\u2028", "\\u202e", "n" * 199, "n" * 201),
    ]
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(KEYS, inner), max_size=5).map(
            lambda pairs: "{" + ",".join(f'"{key}":{item}' for key, item in pairs) + "}"
        )
    ),
    max_leaves=12,
)
LINES = st.lists(JSON | st.sampled_from(["", '{"e":"loss","x":[1]}', '{"end":true}']), max_size=5).map(
    "\n".join
)
BYTES = (JSON | LINES).map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=60)
EVENTS = st.lists(
    st.binary(max_size=40)
    | st.builds(
        lambda step, tag, value: (
            b"\x09" + bytes(8) + b"\x10" + step + b"\x2a"
            + bytes((len(tag) + 9, 0x0A, len(tag) + 7, 0x0A, len(tag))) + tag + b"\x15" + value
        ),
        st.sampled_from([b"\0", b"\xff" * 9 + b"\x01", b"\xff" * 8 + b"\x7f"]),
        st.binary(max_size=20),
        st.binary(min_size=4, max_size=4),
    ),
    max_size=4,
).map(lambda found: b"".join(map(event_record, found)))  # fmt: skip
NAMES = (
    *("w/metrics.json", "w/metrics.jsonl", "r/entry.json", "r/start-1.json", "r/end-1.json"),
    *("r/error-2.json", "r/refused-3.json", "r/trace-4.jsonl", "r/end-9999999999.json"),
    "r/trace-9999999999.jsonl",
)


@examples(max_examples=tries(80), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(st.sampled_from(NAMES), BYTES), events=EVENTS)
def test_no_files_of_a_job_keep_its_result_from_being_committed(
    committed: Callable[[dict[str, bytes]], RunRecord], files: dict[str, bytes], events: bytes
) -> None:
    committed(files | {"w/events.out.tfevents.1.h": events})
