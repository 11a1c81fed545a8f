"""Comparing runs with each other."""
