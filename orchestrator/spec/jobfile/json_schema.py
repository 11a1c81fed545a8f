"""The JSON Schema of job files, for editors: JobSpec's fields and their descriptions, and the short forms.

It is looser than `read_job.py` where JSON Schema cannot say a rule (paths that exist, placeholders), and
never stricter: what reads without a problem also fits the schema.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from orchestrator.spec.jobfile.job_spec import JobSpec, TracedTensors
from orchestrator.spec.jobfile.short_forms import ELSEWHERE, NOT_EMPTY, QUANTITIES, SECTIONS

_Schema = dict[str, Any]

_NULL: _Schema = {"type": "null"}
_TEXT: _Schema = {"type": "string"}
_NUMBER: _Schema = {"type": "number", "minimum": 0}
_DIGEST: _Schema = {"type": "string", "pattern": "^([sS][hH][aA]256:)?[0-9a-fA-F]{64}$"}
_VOLATILE: _Schema = {
    "type": "boolean",
    "description": "True for what differs by nature, such as a log with times, or a time: never compared.",
}
_OUTPUT: _Schema = {
    "type": "object",
    "properties": {"glob": {"description": "What to keep.", **_TEXT}, "volatile": _VOLATILE},
    "required": ["glob"],
    "additionalProperties": False,
}
_GIT: _Schema = {
    "type": "object",
    "properties": {
        "git": {"description": "A git repository on this machine, wherever it lies.", **_TEXT},
        "commit": {"description": "A commit id, short or full, or a ref.", **_TEXT},
    },
    "required": ["git", "commit"],
    "additionalProperties": False,
}


def json_schema() -> _Schema:
    """The schema, draft 2020-12. A fresh dict for each call."""
    long = JobSpec.model_json_schema(schema_generator=_Untitled)
    schema: _Schema = _inlined(long, long.pop("$defs"))
    keys: dict[str, _Schema] = schema["properties"]
    _add_short_forms(keys)
    for section in SECTIONS:
        table = keys[section]["properties"]
        table |= {key: _or_nothing(value) for key, value in table.items()}
    keys |= {key: _or_nothing(value) for key, value in keys.items() if key not in NOT_EMPTY}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Reprise job",
        "description": "An experiment: what runs, over which base, on which data.",
        "required": ["name", "command"],
    }


class _Untitled(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def _inlined(schema: Any, models: dict[str, _Schema]) -> Any:
    """A schema without references. Scalar defaults stay; a table with a pattern for names takes no others."""
    if isinstance(schema, list):
        return [_inlined(one, models) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        model = models[schema["$ref"].rpartition("/")[2]]
        schema = {"description": "", **model, **schema}
        del schema["$ref"], schema["title"]
    if "patternProperties" in schema:
        schema["additionalProperties"] = False
    return {
        name: _inlined(value, models)
        for name, value in schema.items()
        if name != "default" or isinstance(value, str | int | float)
    }


def _add_short_forms(keys: dict[str, _Schema]) -> None:
    """The forms that `short_forms.py` writes out."""
    keys["source"] = _or(keys["source"], _TEXT, _GIT) | {"default": "."}
    [(names, data)] = keys["inputs"]["patternProperties"].items()
    data["properties"]["sha256"]["anyOf"][0] = _DIGEST
    keys["inputs"]["patternProperties"][names] = _or(data, _TEXT)
    keys["outputs"]["items"] = {"anyOf": [_TEXT, _OUTPUT]}
    tolerance = keys["tolerance"]["properties"]
    for key in ELSEWHERE:
        del tolerance[key]
    for key in ("metrics", "outputs"):
        one = tolerance[key]["additionalProperties"] | {"minProperties": 1}
        if key == "metrics":
            one["properties"] = one["properties"] | {"volatile": _VOLATILE}
        tolerance[key]["additionalProperties"] = _or(one, _NUMBER)
    determinism = keys["determinism"]["properties"]
    determinism["trace"] = _or(determinism["trace"], {"enum": list(TracedTensors)})
    resources = keys["resources"]["properties"]
    resources |= {key: _or(resources[key], _TEXT) for key in QUANTITIES}


def _or(long: _Schema, *short: _Schema) -> _Schema:
    """The long form or any of the short ones, under the long one's description and default."""
    said = {name: value for name, value in long.items() if name in ("description", "default")}
    form = {name: value for name, value in long.items() if name not in said}
    return {**said, "anyOf": [*short, *form.get("anyOf", [form])]}


def _or_nothing(schema: _Schema) -> _Schema:
    """The schema, or no value: a key without one counts as left out."""
    if "anyOf" in schema:
        return {**schema, "anyOf": [*(form for form in schema["anyOf"] if form != _NULL), _NULL]}
    choice = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, **choice, "type": [schema["type"], "null"]}
