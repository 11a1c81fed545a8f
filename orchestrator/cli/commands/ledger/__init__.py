"""The verbs of `reprise ledger`."""
