"""Compares the boxes of two runs by the fields that can change bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.message_wording import listed
from orchestrator.record.run_record import RunRecord
from orchestrator.verdict.causes.readback_flags import main_readback
from orchestrator.verdict.predict_bits import Differences, Pair, class_differences

FIELDS_SHOWN = 3

_LABELS = {
    "name": "GPU model",
    "compute": "compute capability",
    "sms": "SM count",
    "memory": "GPU memory",
    "driver": "GPU driver",
    "vbios": "VBIOS",
    "gpus": "GPUs",
    "cpu_vendor": "CPU vendor",
    "cpu_isa": "CPU instruction sets",
    "machine": "architecture",
}


def boxes(original: RunRecord, rerun: RunRecord) -> Differences | None:
    """Fields that differ; None where one of the boxes is not known.

    `effective`, what libraries saw of a box, is left out where both runs read their flags back: in it, a
    script that sets threads looks like another box.
    """
    if original.fingerprint is None or rerun.fingerprint is None:
        return None
    found = class_differences(original.program, original.fingerprint.bit_class, rerun.fingerprint.bit_class)
    if main_readback(original) is None or main_readback(rerun) is None:
        return found
    hard, soft, unknown = map(_without_effective, (found.hard, found.soft, found.unknown))
    return Differences(hard, soft, unknown, found.reasons)


def _without_effective(fields: Mapping[str, Pair]) -> dict[str, Pair]:
    return {name: pair for name, pair in fields.items() if not name.startswith("effective.")}


def labelled(fields: Mapping[str, Pair]) -> str:
    """`GPU model A100 vs H100, SM count 108 vs 132`: the GPUs first, and of those the model."""
    ordered = sorted(fields, key=lambda name: (not name.startswith("gpus"), not name.endswith(".name"), name))
    return listed([f"{_label(name)} {sides(fields[name])}" for name in ordered], FIELDS_SHOWN)


def sides(pair: tuple[Any, Any]) -> str:
    return " vs ".join("absent" if value is None else str(value)[:100] for value in pair)


def _label(name: str) -> str:
    part = name.rpartition(".")[2] if name.startswith("gpus.") else name
    return _LABELS.get(part, name)
