"""What an audit can find, and what each finding means."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from orchestrator.value import Value

Progress = Callable[[int, int], None]  # (done, total), for a progress bar


class Kind(StrEnum):
    """One kind per thing that can be wrong, but for `NOTES`: those are shown, and are no reason to distrust.

    OUT_OF_REACH is neither a fault nor a note: after an outage nothing is known.
    """

    EVENT_ALTERED = "event altered"
    EVENT_MISSING = "event missing"
    EVENT_ORDER = "event out of order"
    EVENT_RULES = "event against the rules"
    TREE = "tree differs"
    HEAD = "tree head differs"
    HEAD_FORGED = "tree head not signed"
    HEAD_MISSING = "tree head missing"
    PROOF = "inclusion not proven"
    LEDGER_SHORTER = "ledger shorter"
    LEDGER_OTHER = "another ledger"
    ROW_ALTERED = "row altered"
    ROW_MISSING = "row missing"
    ROW_UNACCOUNTED = "row unaccounted for"
    BLOB_MISSING = "blob missing"
    BLOB_ALTERED = "blob altered"
    BLOB_UNNAMED = "blob unnamed"
    LAYER_ALTERED = "layer altered"
    IMAGE_CLAIM = "image is not what it claims"
    IMAGE_RECORD = "image and record differ"
    ENGINE_ALTERED = "engine's image altered"
    REGISTRY_ALTERED = "registry's image altered"
    REGISTRY_MISSING = "registry's image missing"
    VERDICT = "verdict differs"
    RUN_STUCK = "run stuck"
    UNREADABLE = "cannot be read"
    OUT_OF_REACH = "could not be looked at"
    NOT_CHECKED = "not checked"
    NO_HEAD = "no tree head"


NOTES = frozenset((Kind.BLOB_UNNAMED, Kind.RUN_STUCK, Kind.NOT_CHECKED, Kind.NO_HEAD))

MEANINGS: dict[Kind, str] = {
    Kind.EVENT_ALTERED: "an entry of the ledger was changed after it was written",
    Kind.EVENT_MISSING: "an entry of the ledger was taken out",
    Kind.EVENT_ORDER: "entries of the ledger were moved, or put in between",
    Kind.EVENT_RULES: "Reprise writes no such entry there: it changes what was over or said before, so "
    "somebody put it in; the entries before it have what was written",
    Kind.TREE: "the ledger's entries do not give the root that was kept: some were altered, added or removed",
    Kind.HEAD: "the ledger is not the one that was signed: its beginning was rewritten since",
    Kind.HEAD_FORGED: "a tree head has no good signature of a known key: it proves nothing",
    Kind.HEAD_MISSING: "this box keeps a copy of a tree head that was taken out of the record",
    Kind.LEDGER_OTHER: "this box signed tree heads of another ledger in the same database: it was replaced; "
    "if that was meant, take the old one's line out of the file `keys/ledgers` in this box's home",
    Kind.LEDGER_SHORTER: "the ledger ends before a tree head that was signed: its end was cut off",
    Kind.PROOF: "the proof that a run's events are in the signed ledger does not hold: an event, the proof "
    "or the tree head was altered",
    Kind.ROW_ALTERED: "a row of the database is not what the ledger says was written: it was changed by hand",
    Kind.ROW_MISSING: "a row that the ledger says was written is gone",
    Kind.ROW_UNACCOUNTED: "a row that the ledger knows nothing of: it was put in by hand",
    Kind.BLOB_MISSING: "the record names bytes that the store does not have: nobody can show or compare them",
    Kind.BLOB_ALTERED: "stored bytes are not those of their name: altered, or the disk is damaged",
    Kind.BLOB_UNNAMED: "bytes that no row names: a killed run left them, or a row was taken away; "
    "`reprise store gc` removes those that the ledger does not name either",
    Kind.LAYER_ALTERED: "a part of an image on this box is not the bytes of its digest; remove the file: it "
    "is assembled or pulled again",
    Kind.IMAGE_CLAIM: "the image's settings are not what its own program gives: it was not assembled from it",
    Kind.IMAGE_RECORD: "the record says another thing of the image than the image itself",
    Kind.ENGINE_ALTERED: "files of an image were changed on the engine's disk: what it would run now is not "
    "what the digest names; remove it there (docker rmi): it is loaded again",
    Kind.REGISTRY_ALTERED: "the registry delivers other bytes than the digest names; remove them there, push "
    "again",
    Kind.REGISTRY_MISSING: "other boxes cannot pull this image; push it again (`reprise build --push`)",
    Kind.VERDICT: "the stored evidence gives another verdict than the stored one",
    Kind.RUN_STUCK: "nobody seems to be at work on an open run; `reprise worker recover` on its box ends it",
    Kind.UNREADABLE: "what is stored there is nothing that Reprise writes: put in by hand, or damaged",
    Kind.OUT_OF_REACH: "database, store, engine, registry or disk did not answer, so nothing is known: audit "
    "again when it does",
    Kind.NOT_CHECKED: "this could not be looked at from here, so nothing is known of it",
    Kind.NO_HEAD: "nothing signed holds the ledger's end yet; `reprise ledger sign` makes one",
}


class Finding(Value):
    """One thing that is not as it should be."""

    kind: Kind
    subject: str  # what it is about: `run 3f2c…`, `blob sha256:…`, `event 17`
    detail: str  # what was found there
    run: str | None = None  # the run that it belongs to, where there is one

    @classmethod
    def of_run(cls, kind: Kind, run: str, detail: str) -> Finding:
        return cls(kind=kind, subject=f"run {run}", detail=detail, run=run)

    @classmethod
    def of_image(cls, kind: Kind, digest: str, detail: str, run: str | None = None) -> Finding:
        return cls(kind=kind, subject=f"image {digest}", detail=detail, run=run)

    @property
    def wrong(self) -> bool:
        return self.kind not in NOTES and not self.unknown

    @property
    def unknown(self) -> bool:
        return self.kind is Kind.OUT_OF_REACH

    @property
    def meaning(self) -> str:
        return MEANINGS[self.kind]
