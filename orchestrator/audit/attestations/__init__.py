"""Signed statements about runs, and who signed them."""
