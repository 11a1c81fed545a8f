"""A run as an RO-Crate."""
