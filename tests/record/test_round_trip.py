"""What is handed in comes back the same, whatever is in it."""

from __future__ import annotations

import math
import secrets
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import tries
from support.ledger_checks import wrong_of

from orchestrator.digest import Digest
from orchestrator.image.image_model import BaseRef, Layer, LayerKind
from orchestrator.record.record import Record
from orchestrator.record.run_record import ImageFacts, InputOrigin, NewRun
from orchestrator.record.schema.columns import scalar_columns, scalar_of
from orchestrator.record.transfer.import_runs import Carried
from orchestrator.run.attempt_model import (
    Failure,
    Fingerprint,
    Log,
    LoggedParam,
    MetricPoint,
    Output,
    OutputStatus,
    Readback,
    Result,
    State,
    TraceFile,
)
from orchestrator.spec.jobfile.job_spec import Resources, Tolerance, Tolerances
from orchestrator.spec.program import Program
from orchestrator.spec.source.source_tree import GitState

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True)
digests = st.binary(max_size=4).map(Digest.of)
huge = st.integers() | st.integers(-(10**300), 10**300)
floats = st.floats()  # NaN and infinities too
scalars = st.booleans() | huge | st.floats(allow_nan=False, allow_infinity=False) | texts
# Offsets and not names: a slim machine has no table of time zones.
zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
days = st.datetimes(min_value=datetime(1970, 1, 3), max_value=datetime(2199, 1, 1), timezones=zones)
moments = st.none() | days
flags = st.none() | st.dictionaries(texts, st.none() | scalars | floats, max_size=3)
documents = st.dictionaries(texts, st.none() | scalars | st.lists(scalars, max_size=2), max_size=3)


# Known facts have their kinds, whatever else a box tells.
facts = documents | st.fixed_dictionaries(
    {},
    optional={
        "cpu_model": st.none() | texts,
        "cpu_isa": st.lists(texts, max_size=2),
        "cores": st.none() | st.integers(0, 1 << 40),
        "gpus": st.lists(st.dictionaries(texts, texts, max_size=2), max_size=2),
        "effective": st.dictionaries(texts, texts, max_size=2),
    },
)


def some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=3).map(tuple)


bases = st.builds(BaseRef, name=texts, digest=digests, config_digest=digests)
layers = st.builds(
    Layer,
    kind=st.sampled_from(LayerKind),
    digest=digests,
    diff_id=digests,
    size=st.integers(0, 1 << 62),
    title=texts,
)
programs = st.builds(
    Program,
    name=names,
    command=st.lists(texts, min_size=1, max_size=3).map(tuple),
    params=st.dictionaries(names, scalars, max_size=4),
    env=st.dictionaries(st.from_regex(r"[A-Z_]{1,5}", fullmatch=True), texts, max_size=2),
    seed=st.integers(0, (1 << 32) - 1),
    inputs=st.dictionaries(names, digests, max_size=2),
    gpus=st.integers(0, 8),
)
tolerances = st.builds(
    Tolerances,
    metrics=st.dictionaries(texts, st.builds(Tolerance, abs=st.floats(0, 1e300)), max_size=2),
)
gits = st.builds(
    GitState,
    remote=st.none() | texts,
    commit=texts,
    branch=st.none() | texts,
    committed_at=moments,
    subject=texts,
    dirty=st.booleans(),
    patch_digest=st.none() | digests,
    submodules=st.dictionaries(texts, texts, max_size=2),
)
origins = st.builds(
    InputOrigin,
    asked=texts,
    data=st.none() | texts,
    version=st.none() | st.integers(1, (1 << 31) - 1),
    run=st.none() | st.builds(lambda: secrets.token_hex(8)),
    path=st.none() | texts,
)
runs = st.builds(
    NewRun.of,
    id=st.builds(lambda: secrets.token_hex(8)),  # shrinking must not meet a run of an earlier example
    key=st.builds(lambda: secrets.token_hex(8)),
    image=st.builds(
        ImageFacts,
        digest=st.builds(lambda: Digest.of(secrets.token_bytes(8))),
        config_digest=digests,
        base=bases,
        layers=some(layers),
    ),
    program=programs,
    description=texts,
    resources=st.builds(Resources, cpus=st.none() | st.floats(0.1, 100), timeout=st.none() | st.floats(1, 9)),
    tolerance=tolerances,
    input_paths=st.dictionaries(names, texts, max_size=2),
    input_origins=st.dictionaries(names, origins, max_size=2),
    git=st.none() | gits,
    submitted_by=texts,
    reference=texts,
)
outputs = st.builds(
    Output,
    path=texts,
    status=st.sampled_from(OutputStatus),
    digest=st.none() | digests,
    size=st.integers(0, 1 << 62),
    reason=st.none() | texts,
)
counts = st.integers(0, (1 << 63) - 1)
traces = st.builds(
    TraceFile,
    rank=st.integers(0, 1 << 20),
    world=st.integers(0, 1 << 20),
    pid=counts,
    digest=digests,
    size=counts,
    steps=counts,
    events=counts,
    complete=st.booleans(),
    broken=st.none() | texts,
)
results = st.builds(
    Result,
    state=st.sampled_from([state for state in State if state.final]),
    failure=st.none() | st.sampled_from(Failure),
    message=texts,
    exit_code=st.none() | st.integers(0, 255),
    oom_killed=st.booleans(),
    started_at=moments,
    finished_at=moments,
    seconds=st.none() | st.floats(0, 1e9),
    outputs=some(outputs),
    metrics=st.dictionaries(texts, floats, max_size=4),
    logged=st.dictionaries(texts, st.builds(LoggedParam, value=scalars, source=texts), max_size=3),
    series=some(
        st.builds(
            MetricPoint,
            name=texts,
            step=st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
            value=floats,
            at=st.none() | st.floats(1e9, 7e9),
        )
    ),
    packages=st.dictionaries(texts, texts, max_size=3),
    source=st.dictionaries(texts, texts, max_size=3),
    readbacks=some(
        st.builds(Readback, pid=st.integers(0, 1 << 40), argv=some(texts), start=flags, end=flags)
    ),
    reports_missing=st.booleans(),
    traces=some(traces),
    log=st.none() | st.builds(Log, digest=digests, size=st.integers(0, 1 << 62), truncated=st.booleans()),
    fingerprint=st.none()
    | st.builds(Fingerprint, bit_class=facts, perf_class=facts, identity=facts, bit_digest=digests),
    notes=some(texts),
)


def same(left: Any, right: Any) -> bool:
    """Equal with the same types: NaN is NaN, -0.0 is not 0.0, 1 is not 1.0 and not True."""
    if isinstance(left, datetime):
        return bool(left == right and right.tzinfo is UTC)
    if isinstance(left, float) and isinstance(right, float):
        return repr(left) == repr(right) or (math.isnan(left) and math.isnan(right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and bool(left == right)


# Wide values take long to make on a busy machine, and that is no fault.
@settings(
    max_examples=tries(120),
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(new=runs, result=results)
def test_a_run_comes_back_as_it_went_in(record: Record, new: NewRun, result: Result) -> None:
    run, created = record.submit(new)
    assert created
    record.claim(run, "box", "boot", "pid 1")
    record.finish(run, 1, result)
    facts = record.run_with_points(run).model_dump()
    handed_in = new.model_dump(exclude={"key", "layers", "inputs"}) | result.model_dump()
    handed_in |= {"job": new.program.name, "attempt": 1, "box": "box"}
    assert wrong_of(record, run) == []  # the ledger was told what the rows hold
    assert facts.keys() - handed_in.keys() == {"created_at", "box_name", "imported"}
    assert handed_in.keys() - facts.keys() == set()
    for name, value in handed_in.items():
        assert same(value, facts[name]), name
    assert record.image(new.image) == (new.image_facts, new.program)


@settings(max_examples=tries(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(new=runs, result=results)
def test_a_run_is_carried_into_another_record_as_it_was(
    record: Record, elsewhere: Record, new: NewRun, result: Result
) -> None:
    run, _ = elsewhere.submit(new)
    elsewhere.claim(run, "box", "boot", "pid 1")
    elsewhere.finish(run, 1, result)
    data = elsewhere.transfer.carry(run).to_bytes()
    item = Carried.from_bytes(data)
    assert item.to_bytes() == data
    brought = [record.transfer.bring_in(lambda: [item], "ada", Digest.of(b"bundle")) for _ in range(2)]
    assert [one.new for (one,) in brought] == [True, False]
    there, here = elsewhere.run_with_points(run), record.run_with_points(run)
    assert (there.imported, here.imported) == (None, Digest.of(b"bundle"))
    assert same(there.model_dump(exclude={"imported"}), here.model_dump(exclude={"imported"}))
    assert wrong_of(record, run) == []
    assert record.image(new.image) == (new.image_facts, new.program)
    assert record.transfer.carry(run).to_bytes() == data


@settings(max_examples=tries(300))
@given(value=scalars | floats)
def test_a_scalar_is_its_type_and_its_text(value: Any) -> None:
    columns = scalar_columns(value)
    assert same(value, scalar_of(columns["type"], columns["text"]))


def test_what_no_database_takes_is_written_out(record: Record, finished: Any) -> None:
    run = finished(result={"message": "a\0b\udc80", "packages": {"x" * 5000: "1\0"}})
    found = record.run_with_points(run)
    assert found.message == "a\\x00b\\udc80"
    assert found.packages == {"x" * 1300: "1\\x00"}
