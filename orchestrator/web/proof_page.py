"""A run as one HTML file that proves itself (`export --format html`), and a badge that links to it."""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from orchestrator.analysis.metric_lines import metric_line
from orchestrator.analysis.number_scale import share_between
from orchestrator.audit.attestations.attest_run import sound_verdicts
from orchestrator.audit.exports.page_evidence import PageEvidence, WrittenPage, evidence_of, signed_page
from orchestrator.audit.keys import signing_key
from orchestrator.durable import write_bytes
from orchestrator.errors import UsageError
from orchestrator.launch.session import Session
from orchestrator.record.run_record import RunRecord, VerdictLine
from orchestrator.value import Value
from orchestrator.view.forms.human_units import number_text
from orchestrator.view.forms.page import Fields
from orchestrator.view.runs.run_view import run_page
from orchestrator.web.answers import TEMPLATES, cleaners, templates

CHARTS = 24
STRETCHES = 300


class PageRequest(Value):
    path: Path
    force: bool = False  # replace files that are there


class _Drawn(NamedTuple):
    name: str
    last: str
    low: str
    high: str
    path: str
    said: str


def write_page(session: Session, run: RunRecord, request: PageRequest) -> WrittenPage:
    """UsageError: the run is open, or a file is in the way."""
    if not run.state.final:
        raise UsageError(f"run {run.id} is {run.state.value}", "wait for its end: `reprise logs -f` follows")
    badge = request.path.with_suffix(".svg")
    for path in (request.path, badge):
        if os.path.lexists(path) and not request.force:
            raise UsageError(f"{path} is there already", "name another file, or replace it: --force")
    evidence, verdicts = evidence_of(session, run.id), sound_verdicts(session, run)
    charts = [_drawn(session, run, name) for name in sorted(run.metrics)[:CHARTS]]
    html = _html(run, charts, verdicts, evidence, request.path.name)
    key = signing_key(session.settings)
    signed = signed_page(evidence, html, key)
    data = _html(run, charts, verdicts, signed, request.path.name).encode("utf-8", "replace")
    write_bytes(request.path, data)
    write_bytes(badge, _badge(verdicts, request.path.name).encode())
    return WrittenPage(
        path=request.path,
        badge=badge,
        run=run.id,
        size=len(data),
        events=len(evidence.events),
        key=key.public.fingerprint,
    )


def _html(
    run: RunRecord,
    charts: Sequence[_Drawn],
    verdicts: Sequence[VerdictLine],
    evidence: PageEvidence,
    file: str,
) -> str:
    script, style = ((TEMPLATES / name).read_text("utf-8") for name in ("verify.js", "proof.css"))
    # Inside a script element only `</script` and `<!--` end or change it: no `<` is left.
    told = evidence.model_dump_json().replace("<", "\\u003c")
    fields = [pair for block in run_page(run) if isinstance(block, Fields) for pair in block.pairs if pair[1]]
    return (
        templates()
        .get_template("proof.html")
        .render(
            **cleaners(),
            run=run,
            fields=fields,
            charts=charts,
            verdicts=verdicts,
            file=shlex.quote(file),
            evidence=Markup(told),  # noqa: S704  (see above)
            script=Markup(script),  # noqa: S704  (our own file)
            script_hash=_hash(script),
            style=Markup(style),  # noqa: S704  (our own file)
            style_hash=_hash(style),
        )
    )


def _hash(text: str) -> str:
    """As a Content-Security-Policy names an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _drawn(session: Session, run: RunRecord, name: str) -> _Drawn:
    line = metric_line(session.record.series(run.id, name), None, STRETCHES, 0.0, by_order=False)
    last = number_text(run.metrics[name])
    if not line.x:
        return _Drawn(name, last, "", "", "", "no points")
    low, high, left, right = min(line.y), max(line.y), line.x[0], line.x[-1]
    path = "L".join(
        f"{share_between(x, left, right) * 296 + 2:.1f} {132 - share_between(y, low, high) * 114:.1f}"
        for x, y in zip(line.x, line.y, strict=True)
    )
    said = f"{line.points:,} points"
    if line.not_numbers:
        said += f", {line.not_numbers:,} of them no finite numbers"
    if line.reduced:
        said += "; drawn: the least and the greatest of each stretch"
    return _Drawn(name, last, number_text(low), number_text(high), f"M{path}", said)


def _badge(verdicts: Sequence[VerdictLine], file: str) -> str:
    """`reproduced: identical`, by the last verdict; an SVG whose link leads to the page beside it."""
    word = verdicts[-1].outcome.replace("_", " ") if verdicts else "recorded"
    left = "reproduced" if verdicts else "run"
    colour = "#17703a" if word in ("identical", "within tolerance", "recorded") else "#8a5a00"
    widths = [len(text) * 7 + 14 for text in (left, word)]
    return (
        templates()
        .get_template("badge.svg")
        .render(left=left, word=word, colour=colour, widths=widths, whole=sum(widths), file=file)
    )
