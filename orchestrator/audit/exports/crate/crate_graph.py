"""What a crate says of its run: RO-Crate 1.1 metadata, Workflow Run Crate profile 0.5, as flat JSON-LD.

The "workflow" is the program, the one document that says what ran; parameters, seed and inputs are its formal
parameters; the run is the action that executed it. docs/crate.md has the table.
"""

from __future__ import annotations

import json
import math
import mimetypes
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from orchestrator import __version__
from orchestrator.audit.exports.crate.crate_files import METADATA, PATCH, PROGRAM, CrateFile, Role, uri
from orchestrator.audit.exports.purl import purl
from orchestrator.image.image_model import REPOSITORY
from orchestrator.image.registry.repository import Place
from orchestrator.record.run_record import RunRecord, VerdictLine
from orchestrator.run.attempt_model import State
from orchestrator.spec.jobfile.job_spec import Scalar

Entity = dict[str, Any]

CRATE = "https://w3id.org/ro/crate/1.1"
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
_TERMS = "https://w3id.org/ro/terms/workflow-run#"
# Written out, so that one document less is needed to read a crate.
CONTEXT = [
    f"{CRATE}/context",
    {
        name: _TERMS + name
        for name in ("ContainerImage", "containerImage", "environment", "registry", "sha256", "tag")
    },
]
_TYPES = mimetypes.MimeTypes(filenames=())  # Python's own table: a box's files say other things
_OTHER_TYPES = {Role.LOG: "text/plain", Role.TRACE: "application/x-ndjson", Role.PATCH: "text/x-diff"}
_KINDS: dict[type, str] = {bool: "Boolean", int: "Integer", float: "Float", str: "Text"}


def metadata(
    run: RunRecord,
    parts: Sequence[CrateFile],
    verdicts: Sequence[VerdictLine],
    licence: str | None,
    place: Place | None,
) -> bytes:
    """ro-crate-metadata.json of a finished run. `place`: where its image can be had."""
    entities = [
        _entity(METADATA, "CreativeWork", conformsTo=_refs([CRATE, WORKFLOW_CRATE]), about={"@id": "./"}),
        _root(run, parts, verdicts, licence),
        *_profiles(licence),
        _workflow(run),
        _entity("#language", "ComputerLanguage", name="Reprise program", version="1"),
        *_software(run),
        *_git(run),
        _action(run, parts),
        _entity(_person(run), "Person", name=run.submitted_by),
        _container(run, place),
        *_values(run),
        *_inputs(run, parts),
        *_makers(run, parts),
        *_environment(run),
        *_metrics(run),
        *(_verdict(run, number, line) for number, line in enumerate(verdicts)),
        *(_file(part) for part in parts if part.role is not Role.PROGRAM and not _whole(run, part)),
    ]
    document = {"@context": CONTEXT, "@graph": entities}
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _entity(at: str, kind: str | list[str], **facts: Any) -> Entity:
    """An entity without its unknown or empty properties."""
    known = {name: value for name, value in facts.items() if value not in (None, "", [])}
    return {"@id": at, "@type": kind, **known}


def _refs(ids: Iterable[str]) -> Any:
    """One reference, or a list of several."""
    found = [{"@id": one} for one in ids]
    return found[0] if len(found) == 1 else found


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")


def _is_link(licence: str | None) -> bool:
    return licence is not None and licence.startswith(("https://", "http://"))


def _root(
    run: RunRecord, parts: Sequence[CrateFile], verdicts: Sequence[VerdictLine], licence: str | None
) -> Entity:
    held = [uri(part.path) for part in parts if part.role is not Role.INPUT]
    given = [one["@id"] for one in _inputs(run, parts) if one["@type"] in ("File", "Dataset")]
    return _entity(
        "./",
        "Dataset",
        name=f"{run.job}, run {run.id}",
        description=run.description or f"A run of {run.job}, recorded by Reprise {__version__}",
        datePublished=_moment(run.finished_at or run.created_at),
        license={"@id": licence} if _is_link(licence) else licence or "not stated",
        author={"@id": _person(run)},
        conformsTo=_refs(PROFILES),
        hasPart=_refs([*held, *given]),
        mainEntity={"@id": PROGRAM},
        mentions=_refs(
            [
                _run(run),
                *(one["@id"] for one in _makers(run, parts) if one["@type"] == "CreateAction"),
                *(f"#verdict/{number}" for number in range(len(verdicts))),
            ]
        ),
    )


def _profiles(licence: str | None) -> Iterator[Entity]:
    for profile, (name, version) in PROFILES.items():
        yield _entity(profile, "CreativeWork", name=name, version=version)
    if licence is not None and _is_link(licence):
        yield _entity(licence, "CreativeWork", name=licence, description="The licence of this crate")


def _run(run: RunRecord) -> str:
    return f"#run/{run.id}"


def _person(run: RunRecord) -> str:
    return f"#person/{quote(run.submitted_by, safe='')}"


def _workflow(run: RunRecord) -> Entity:
    return _entity(
        PROGRAM,
        ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        name=run.job,
        description=f"What ran: {' '.join(run.program.command)}",
        version=str(run.image),
        url=f"urn:reprise:image:{run.image}",
        codeRepository=run.git.remote if run.git else None,
        identifier={"@id": "#git"} if run.git else None,
        encodingFormat="application/json",
        contentSize=str(len(run.program.to_label().encode())),
        programmingLanguage={"@id": "#language"},
        input=_refs(f"#formal/{key}" for key, _, _ in _pairs(run)),
        softwareRequirements=_refs(one["@id"] for one in _software(run)),
    )


def _software(run: RunRecord) -> Iterator[Entity]:
    packages = {purl(name, version): (name, version) for name, version in run.packages.items()}
    found = {f"urn:reprise:software:{__version__}": ("Reprise", __version__)} | dict(sorted(packages.items()))
    for at, (name, version) in found.items():
        yield _entity(at, "SoftwareApplication", name=name, softwareVersion=version, url=at)


def _git(run: RunRecord) -> Iterator[Entity]:
    if run.git is not None:
        dirty = f"the source differed from it: {PATCH}" if run.git.patch_digest else "the source differed"
        said = dirty if run.git.dirty else "the source was as committed"
        yield _value("#git", "git commit", run.git.commit) | {"description": said}


def _action(run: RunRecord, parts: Sequence[CrateFile]) -> Entity:
    done = run.state is State.SUCCEEDED
    results = [uri(part.path) for part in parts if part.role is Role.OUTPUT]
    told = [uri(part.path) for part in parts if part.role in (Role.LOG, Role.TRACE)]
    return _entity(
        _run(run),
        "CreateAction",
        name=f"run {run.id} of {run.job}",
        description=_story(run),
        instrument={"@id": PROGRAM},
        object=_refs(_objects(run, parts)),
        result=_refs([*results, *(one["@id"] for one in _metrics(run))]),
        agent={"@id": _person(run)},
        startTime=_moment(run.started_at),
        endTime=_moment(run.finished_at),
        actionStatus=f"http://schema.org/{'Completed' if done else 'Failed'}ActionStatus",
        error=None if done else f"{run.state.value}: {run.message or 'without a word'}",
        containerImage={"@id": "#image"},
        environment=_refs(one["@id"] for one in _environment(run)),
        subjectOf=_refs(told),
    )


def _story(run: RunRecord) -> str:
    box = run.box_name or (run.box or "unknown")[:12]
    said = [f"run {run.id} of {run.job} on box {box}"]
    if run.fingerprint is not None:
        said.append(f"bit class {run.fingerprint.bit_digest}")
    if run.rerun_of is not None:
        said.append(f"a rerun of run {run.rerun_of}")
    return ", ".join(said)


def _container(run: RunRecord, place: Place | None) -> Entity:
    return _entity(
        "#image",
        "ContainerImage",
        additionalType={"@id": f"{_TERMS}DockerImage"},
        registry=place.host if place else None,
        name=place.name if place else REPOSITORY,
        tag=run.image.hex,
        sha256=run.image.hex,
        description=f"over base {run.base.name}, {run.base.digest}",
    )


def _pairs(run: RunRecord) -> Iterator[tuple[str, str, Scalar | None]]:
    """What the program takes: key in this document, name, value; of inputs None."""
    for name, value in sorted(run.program.params.items()):
        yield f"param/{name}", name, value
    yield "seed", "seed", run.program.seed
    for name in sorted(run.program.inputs):
        yield f"input/{name}", name, None


def _value(key: str, name: str, value: Scalar) -> Entity:
    """NaN and infinities as text: JSON has none."""
    finite = not isinstance(value, float) or math.isfinite(value)
    return {"@id": key, "@type": "PropertyValue", "name": name, "value": value if finite else repr(value)}


def _formal(key: str, name: str, kind: str, example: str) -> Entity:
    return _entity(
        f"#formal/{key}",
        "FormalParameter",
        additionalType=kind,
        name=name,
        workExample={"@id": example},
    )


def _values(run: RunRecord) -> Iterator[Entity]:
    for key, name, value in _pairs(run):
        if value is not None:
            yield _formal(key, name, _KINDS[type(value)], f"#{key}")
            yield _value(f"#{key}", name, value) | {"exampleOfWork": {"@id": f"#formal/{key}"}}


def _objects(run: RunRecord, parts: Sequence[CrateFile]) -> Iterator[str]:
    for key, _, value in _pairs(run):
        if value is not None:
            yield f"#{key}"
    for one in _inputs(run, parts):
        if one["@type"] != "FormalParameter":
            yield one["@id"]


def _inputs(run: RunRecord, parts: Sequence[CrateFile]) -> Iterator[Entity]:
    """Each input as data where the crate has it, else by its digest; named data with its name and version."""
    for name, digest in sorted(run.program.inputs.items()):
        key, files = f"input/{name}", [part for part in parts if part.role is Role.INPUT]
        inside = [part for part in files if part.name.startswith(f"{name}/")]
        work = {"exampleOfWork": {"@id": f"#formal/{key}"}, **_data_name(run, name)}
        if inside:
            at = f"inputs/{name}/"
            yield _formal(key, name, "Dataset", at)
            held = _refs(uri(part.path) for part in inside)
            said = f"{len(inside)} files; as an input {digest}"
            yield {"@id": at, "@type": "Dataset", "name": name, "description": said, "hasPart": held} | work
        elif whole := next((part for part in files if part.name == name), None):
            yield _formal(key, name, "File", whole.path)
            yield _file(whole) | work
        else:
            yield _formal(key, name, "PropertyValue", f"#{key}")
            said = "digest of the input data, which is not in this crate"
            yield _value(f"#{key}", name, digest) | {"description": said} | work


def _data_name(run: RunRecord, name: str) -> dict[str, str]:
    """What named data is called: by `identifier` a job file takes it again."""
    origin = run.input_origins.get(name)
    if origin is None or origin.data is None:
        return {}
    facts = {"identifier": origin.reference or "", "alternateName": origin.data}
    return facts | {"version": str(origin.version)}


def _makers(run: RunRecord, parts: Sequence[CrateFile]) -> Iterator[Entity]:
    """The earlier runs whose outputs are inputs of this one: their own crates have the same ids."""
    entities = {one["name"]: one["@id"] for one in _inputs(run, parts) if one["@type"] != "FormalParameter"}
    made: dict[str, list[str]] = {}
    for name in sorted(run.program.inputs.keys() & run.input_origins.keys()):
        maker = run.input_origins[name].run
        if maker is not None and maker != run.id:
            made.setdefault(maker, []).append(name)
    for maker, names in sorted(made.items()):
        asked = [f"input {name} was asked for as {run.input_origins[name].asked}" for name in names]
        yield _entity(
            f"#run/{maker}",
            "CreateAction",
            name=f"run {maker}",
            description="; ".join(asked),
            identifier=maker,
            instrument={"@id": f"#program/{maker}"},
            result=_refs(entities[name] for name in names),
        )
        yield _entity(f"#program/{maker}", "SoftwareApplication", name=f"the program of run {maker}")


def _whole(run: RunRecord, part: CrateFile) -> bool:
    """Whether a file is an input by itself, and not in a folder."""
    return part.role is Role.INPUT and part.name in run.program.inputs


def _environment(run: RunRecord) -> Iterator[Entity]:
    for name, value in sorted(run.program.env.items()):
        yield _value(f"#env/{name}", name, value)


def _metrics(run: RunRecord) -> Iterator[Entity]:
    for name, value in sorted(run.metrics.items()):
        yield _value(f"#metric/{quote(name, safe='')}", name, value)


def _verdict(run: RunRecord, number: int, line: VerdictLine) -> Entity:
    summary = str(line.document.get("summary", "")) or line.outcome
    return _entity(
        f"#verdict/{number}",
        "AssessAction",
        name=f"{line.outcome}: rerun {line.run} beside its original {line.original}",
        description=summary,
        object={"@id": _run(run)},
        endTime=_moment(line.created_at),
    )


def _file(part: CrateFile) -> Entity:
    kind = _OTHER_TYPES.get(part.role) or _TYPES.guess_type(part.name)[0] or "application/octet-stream"
    return _entity(
        uri(part.path),
        "File",
        name=part.name,
        encodingFormat=kind,
        contentSize=str(part.size),
        sha256=part.digest.hex,
    )
