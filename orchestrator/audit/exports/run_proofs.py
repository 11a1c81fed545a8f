"""Proof that a run is in a signed ledger, without other runs' events: its events' paths, a signed tree head.

A reader needs the proof of one run, the documents of its events, and a trusted public key: `proof_problem`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.audit.heads.signed_note import parse_head, verify_head
from orchestrator.audit.keys import PublicKey
from orchestrator.errors import UsageError
from orchestrator.record.ledger.merkle import MerkleTree, included, leaf_hash
from orchestrator.value import Value

if TYPE_CHECKING:
    from orchestrator.record.ledger.read_ledger import Signed


class EventProof(Value):
    index: int
    leaf: str  # hex: the leaf hash of the event's document
    path: tuple[str, ...]  # hex: the hashes beside its way to the root, from the leaf up


class RunProof(Value):
    run: str
    head: str  # the signed note
    events: tuple[EventProof, ...]


def run_proofs(
    signed: Iterable[Signed], leaves: Sequence[bytes], events: Mapping[str, Sequence[int]]
) -> Iterator[RunProof]:
    """The proofs of each run that has events under the newest tree head of this ledger."""
    heads = [one for one in signed if one.size <= len(leaves)]
    if not heads:
        return
    head = max(heads, key=lambda one: one.size)
    tree = MerkleTree(leaves[: head.size])
    for run, indexes in events.items():
        proofs = tuple(
            EventProof(
                index=index,
                leaf=leaves[index].hex(),
                path=tuple(one.hex() for one in tree.inclusion_proof(index)),
            )
            for index in indexes
            if index < head.size
        )
        if proofs:
            yield RunProof(run=run, head=head.text, events=proofs)


def proof_problem(
    proof: RunProof, origin: str, documents: Mapping[int, bytes], keys: Sequence[PublicKey]
) -> str | None:
    """Why the proof does not show that the signed ledger holds these documents; None where it does.

    `documents`: index -> the exact bytes of each event of the run; those beyond the tree head need no proof.
    """
    try:
        head = parse_head(proof.head)
        if not verify_head(head, keys):
            return "no key that is known signed its tree head"
        if head.origin != origin:
            return f"its tree head is of ledger {head.origin}"
        proven = [event.index for event in proof.events]
        if proven != sorted(index for index in documents if index < head.size):
            return f"it is about the events {proven}, and the run has others"
        for event in proof.events:
            leaf = leaf_hash(documents[event.index])
            if leaf.hex() != event.leaf:
                return f"event {event.index} has another leaf hash"
            path = [bytes.fromhex(one) for one in event.path]
            if not included(leaf, event.index, head.size, path, head.root):
                return f"event {event.index} does not lead to the signed root"
    except (UsageError, ValueError) as error:
        return str(error)
    return None
