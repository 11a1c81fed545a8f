"""Names of parameters and metrics: which there are, and which one a text means."""

from __future__ import annotations

import re
from typing import Protocol

from sqlalchemy import Connection, select

from orchestrator.message_wording import did_you_mean, listed
from orchestrator.record.database.each_value import each_value
from orchestrator.record.history.filter_fields import PLAIN, TABLES, Field, Mismatch, Part, field_named

MOST = 500  # names that are searched for a similar one
SHOWN = 10  # names in a hint
_HOW_RECORDED = {
    "metrics": "; a job writes them into metrics.json or metrics.jsonl (docs/job-spec.md)",
    "logged": "; they are read from what W&B, mlflow, DVCLive and Lightning leave (docs/job-spec.md)",
}
_NOUNS = {"params": "parameter", "metrics": "metric", "logged": "logged parameter"}

_DOTTED = re.compile(r"[^\W\d]\w*(?:[./][^\W\d]\w*)*\Z")
_QUOTED = re.compile(r"""(params|metrics|logged)\[(?:"(.*)"|'(.*)')\](?:\.(\w+))?\Z""")


class Ambiguous(Mismatch):
    """A text that could mean two recorded names."""


class KnownNames(Protocol):
    """Names of one word of TABLES."""

    def knows(self, word: str, name: str) -> bool: ...

    def some(self, word: str) -> list[str]:
        """Sorted; MOST at most."""
        ...


class RecordedNames:
    """Names that some run has, or some run of one job where its key is given."""

    def __init__(self, connection: Connection, job: int | None = None) -> None:
        self._connection, self._job = connection, job

    def knows(self, word: str, name: str) -> bool:
        table = TABLES[word]
        query = select(table.c.run_id).where(table.c.name == name)
        if self._job is not None:
            query = query.where(table.c.job_id == self._job)
        return self._connection.execute(query.limit(1)).first() is not None

    def some(self, word: str) -> list[str]:
        table = TABLES[word]
        mine = () if self._job is None else (table.c.job_id == self._job,)
        return each_value(self._connection, table.c.name, *mine, most=MOST)


def filter_fields(connection: Connection) -> list[str]:
    """What a filter or an order can name, as it is written: for completion. MOST of each word at most."""
    names = RecordedNames(connection)
    found = list(PLAIN)
    for word in TABLES:
        for name in names.some(word):
            found.append(f"{word}.{name}" if _DOTTED.match(name) else f"{word}[{name!r}]")
    return found


def field_of(text: str, names: KnownNames) -> Field:
    """`seconds`, `params.lr`, `metrics.val/loss`, `metrics.loss.min`, `metrics["odd name"].max`.

    Mismatch for an unknown or ambiguous name.
    """
    quoted = _QUOTED.match(text)
    if quoted is not None:
        word, one, other, part = quoted.groups()
        return quoted_field(word, one if other is None else other, part, names)
    word, dot, rest = text.partition(".")
    return named_field(word, rest if dot else None, names)


def named_field(word: str, name: str | None, names: KnownNames) -> Field:
    """The field of a dotted name, whose last part may be one of Part."""
    field = field_named(word, name)
    if word not in TABLES or name is None:
        return field
    stem, dot, end = name.rpartition(".")
    is_part = word == "metrics" and dot and stem and end in {part.value for part in Part}
    found = [field] if names.knows(word, name) else []
    if is_part and names.knows(word, stem):
        found.append(Field(word, stem, Part(end)))
    if len(found) == 2:
        raise Ambiguous(
            f"there is a metric {name}, and a metric {stem} that has a {end}",
            f'write metrics["{name}"] or metrics["{stem}"].{end}',
        )
    if not found:
        raise unknown(word, name, names)
    return found[0]


def quoted_field(word: str, name: str, part: str | None, names: KnownNames) -> Field:
    """The field of a name in brackets, which is taken as it is."""
    field = field_named(word, name)
    if part is not None and (word != "metrics" or part not in {known.value for known in Part}):
        raise Mismatch(
            f"a {_noun(word)} has no {part}", f"a metric has {', '.join(known.value for known in Part)}"
        )
    if not names.knows(word, name):
        raise unknown(word, name, names)
    return field if part is None else field._replace(part=Part(part))


def unknown(word: str, name: str, names: KnownNames) -> Mismatch:
    noun, known = _noun(word), names.some(word)
    if known:
        hint = did_you_mean(name, known, f"{noun}s that runs have: {listed(known, SHOWN)}")
    else:
        hint = f"no run with a {noun} is recorded yet" + _HOW_RECORDED.get(word, "")
    return Mismatch(f"no run has a {noun} {name}", hint)


def _noun(word: str) -> str:
    return _NOUNS[word]
