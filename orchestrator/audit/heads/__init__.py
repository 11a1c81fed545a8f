"""Signed tree heads of the ledger."""
