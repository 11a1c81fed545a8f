"""The static tables of the command line: verbs and exit codes. The README is tested against both.

Nothing but these tables is read for `reprise --help`: a verb's module is imported when the verb is used.
"""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.errors import ExitCode


class Verb(NamedTuple):
    section: str  # heading in the help; "" hides the verb
    summary: str  # one line, equal to the first line of the command's own help

    @property
    def hidden(self) -> bool:
        return not self.section


RUN, LOOK, SAY, BOX = "Run", "Look", "Say", "This box"

VERBS: dict[str, Verb] = {
    "submit": Verb(RUN, "Run a job spec and record everything about it."),
    "build": Verb(RUN, "Assemble the image of a job spec and print its digest."),
    "rerun": Verb(RUN, "Run a digest or a recorded run again and give a verdict."),
    "predict": Verb(RUN, "Say whether this box should give the bits of an earlier run."),
    "localise": Verb(RUN, "Name the operation in which two runs part, by a slow pass over each."),
    "cancel": Verb(RUN, "Stop a run."),
    "history": Verb(LOOK, "List runs, filtered and sorted."),
    "show": Verb(LOOK, "Show one run."),
    "logs": Verb(LOOK, "Print what a run wrote to its standard output and error."),
    "outputs": Verb(LOOK, "List a run's outputs, or copy them into a folder."),
    "diff": Verb(LOOK, "Show what differs between two runs."),
    "compare": Verb(LOOK, "Give a verdict over two recorded runs."),
    "verify": Verb(LOOK, "Compute stored verdicts once more from the stored evidence."),
    "log": Verb(LOOK, "Show what happened, from the ledger, the newest last."),
    "checkpoint": Verb(
        LOOK, "Print the latest signed checkpoint of the ledger; sign one where it has grown."
    ),
    "key": Verb(LOOK, "Print this box's public key, for those who check what it signed."),
    "attest": Verb(LOOK, "Sign what a run made of what; of an identical rerun, its original's claim."),
    "check-attestation": Verb(LOOK, "Say who vouches for what, offline, with public keys only."),
    "whence": Verb(LOOK, "Find the runs that made a file, by its content."),
    "audit": Verb(LOOK, "Compute everything once more: has anything been altered?"),
    "best": Verb(LOOK, "Show the run of a job with the best value of a metric."),
    "lineage": Verb(LOOK, "Show where a run's inputs came from, and what was made of its outputs."),
    "note": Verb(SAY, "Write a note on a run, or list its notes."),
    "tag": Verb(SAY, "Put tags on a run, or list them; `history --tag TAG` finds the runs."),
    "name": Verb(SAY, "Give a run a name such as `production`, or list names."),
    "archive": Verb(SAY, "Put runs away: `history` and `best` leave them out, nothing is deleted."),
    "image": Verb(LOOK, "Show the layers, program and packages of an image."),
    "export": Verb(BOX, "Write an image with its runs into one file, for a box without a network."),
    "import": Verb(BOX, "Take in a file of `reprise export`: image, runs, evidence, inputs."),
    "sbom": Verb(LOOK, "Print the bill of materials of an image (CycloneDX 1.6, JSON)."),
    "crate": Verb(BOX, "Write a finished run with its files as an RO-Crate, for archives and other tools."),
    "base": Verb(BOX, "Make, list, pin or probe base images."),
    "schema": Verb(BOX, "Print the JSON Schema of job specs."),
    "doctor": Verb(BOX, "Check this box: what is wrong, and how to mend it."),
    "sweep": Verb(BOX, "Finish runs whose orchestrator died; remove what is left over."),
    "gc": Verb(BOX, "Remove blobs that no run names from the store."),
    "worker": Verb(BOX, "Take queued runs that this box fits."),
    "boxes": Verb(BOX, "List boxes with a worker: hardware, bit class, state, what they run."),
    "completion": Verb(BOX, "Print the shell completion script."),
    "execute": Verb("", "Carry one queued or abandoned run to its end."),
    "dispatch": Verb("", "Push on runs that cluster engines execute, until interrupted."),
}


def module_of(verb: str) -> str:
    """Where a verb's command is."""
    return f"orchestrator.cli.commands.{verb.replace('-', '_')}"


EXIT_CODES: dict[ExitCode, str] = {
    ExitCode.OK: "succeeded; a rerun was identical or within tolerance",
    ExitCode.JOB_FAILED: "the job ran and failed",
    ExitCode.USAGE: "usage or spec error",
    ExitCode.DIFFERENT: "the rerun gave other bits",
    ExitCode.NOT_COMPARABLE: "not comparable, not instrumented; equal bits not expected; no run made it",
    ExitCode.INFRASTRUCTURE: "engine, registry, store or database failed; a run was lost; a bug in reprise",
    ExitCode.AUDIT: "the audit found something",
    ExitCode.INTERRUPTED: "interrupted or cancelled",
}
