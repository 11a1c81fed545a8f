"""What leaves the record for outsiders: the ledger, bills of materials, crates."""
