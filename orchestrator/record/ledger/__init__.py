"""The append-only Merkle ledger: what was written, in order."""
