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


RUN, LOOK, MARK, PROVE, CARRY, MANAGE, SET_UP = "Run", "Look", "Mark", "Prove", "Carry", "Manage", "Set up"

# By what is typed after `reprise`. A verb with verbs below it, as in `ledger log`, is a group.
VERBS: dict[str, Verb] = {
    "submit": Verb(RUN, "Run a job spec and record everything about it."),
    "lock": Verb(RUN, "Lock a project's packages by hash, for a base's Python and beside what it has."),
    "build": Verb(RUN, "Assemble the image of a job spec and print its digest."),
    "rerun": Verb(RUN, "Run a digest or a recorded run again and give a verdict."),
    "cancel": Verb(RUN, "Stop a run."),
    "history": Verb(LOOK, "List runs, filtered and sorted."),
    "show": Verb(LOOK, "Show one run."),
    "logs": Verb(LOOK, "Print what a run wrote to its standard output and error."),
    "outputs": Verb(LOOK, "List a run's outputs, or copy them into a folder."),
    "diff": Verb(LOOK, "Show what differs between two runs, or among many."),
    "compare": Verb(LOOK, "Give a verdict over two recorded runs, or over each of many beside the first."),
    "best": Verb(LOOK, "Show the run of a job with the best value of a metric."),
    "lineage": Verb(LOOK, "Show where a run's inputs came from, and what was made of its outputs."),
    "origin": Verb(LOOK, "Find the runs that made a file, by its content."),
    "web": Verb(LOOK, "Serve the dashboard: runs, live and compared, in a browser."),
    "note": Verb(MARK, "Write a note on a run, or list its notes."),
    "tag": Verb(MARK, "Put tags on a run, or list them; `history --tag TAG` finds the runs."),
    "alias": Verb(MARK, "Give a run an alias such as `production`, or list aliases."),
    "archive": Verb(MARK, "Put runs away: `history` and `best` leave them out, nothing is deleted."),
    "audit": Verb(PROVE, "Compute everything once more: has anything been altered?"),
    "ledger": Verb(PROVE, "Read, sign and export the ledger of all that happened."),
    "ledger log": Verb(PROVE, "Show what happened, from the ledger, the newest last."),
    "ledger sign": Verb(PROVE, "Print the ledger's latest signed tree head; sign one where it has grown."),
    "ledger key": Verb(PROVE, "Print this box's public key, for those who check what it signed."),
    "ledger export": Verb(PROVE, "Write the ledger and its rows into a folder, for others to audit."),
    "attestation": Verb(PROVE, "Sign what runs made of what, and check what others signed."),
    "attestation create": Verb(
        PROVE, "Sign what a run made of what; of an identical rerun, its original's claim."
    ),
    "attestation verify": Verb(PROVE, "Say who vouches for what, offline, with public keys only."),
    "export": Verb(
        CARRY, "Write an image with its runs, or one run as an RO-Crate or a page, for another place."
    ),
    "import": Verb(CARRY, "Take in a file of `reprise export`: image, runs, evidence, inputs."),
    "data": Verb(CARRY, "Name data, and find and copy what has a name."),
    "data add": Verb(CARRY, "Put a file or folder into the store under a name and the next version."),
    "data list": Verb(CARRY, "List named data: the last version of each name."),
    "data show": Verb(CARRY, "Show named data: its versions, its files, and the runs that took it."),
    "data get": Verb(CARRY, "Copy named data, or any input by its digest, out of the store."),
    "image": Verb(MANAGE, "Look into an image."),
    "image show": Verb(MANAGE, "Show the layers, program and packages of an image."),
    "image sbom": Verb(MANAGE, "Print the bill of materials of an image (CycloneDX 1.6, JSON)."),
    "base": Verb(MANAGE, "Make, list, pin or probe base images."),
    "base new": Verb(MANAGE, "Make a flavour of your own, like another base but for some packages."),
    "base build": Verb(MANAGE, "Make a flavour from its recipe and pin it on this box."),
    "base list": Verb(MANAGE, "List the pinned bases, and the flavours that are not pinned yet."),
    "base pin": Verb(MANAGE, "Pin an image that is there already as the base NAME."),
    "base probe": Verb(MANAGE, "Show what an image offers as a base: its Python, glibc, torch and packages."),
    "worker": Verb(MANAGE, "Run queued runs on this box, and look after boxes and clusters."),
    "worker start": Verb(MANAGE, "Take queued runs that this box fits."),
    "worker list": Verb(MANAGE, "List boxes with a worker: hardware, bit class, state, what they run."),
    "worker recover": Verb(MANAGE, "Finish runs whose orchestrator died; remove what is left over."),
    "worker dispatch": Verb(MANAGE, "Push on runs that cluster engines execute, until interrupted."),
    "store": Verb(MANAGE, "Look after the store of outputs, logs and traces."),
    "store gc": Verb(MANAGE, "Remove blobs from the store that nothing in the record names."),
    "init": Verb(SET_UP, "Draft a job file for a script or a folder that is there."),
    "doctor": Verb(SET_UP, "Check this box: what is wrong, and how to mend it."),
    "schema": Verb(SET_UP, "Print the JSON Schema of job specs."),
    "completion": Verb(SET_UP, "Print the shell completion script."),
    "execute": Verb("", "Carry one queued or abandoned run to its end."),
}
GROUPS = frozenset(path.partition(" ")[0] for path in VERBS if " " in path)


def verbs_of(group: str) -> dict[str, Verb]:
    """The verbs of a group by their last word: `log`, `sign` … of `ledger`; of "", those after `reprise`."""
    split = ((path.rpartition(" "), verb) for path, verb in VERBS.items())
    return {name: verb for (before, _, name), verb in split if before == group}


def module_of(path: str) -> str:
    """Where a verb's command is: `ledger log` in `commands/ledger/log.py`."""
    return f"orchestrator.cli.commands.{path.replace(' ', '.')}"


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
